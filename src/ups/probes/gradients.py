"""The gradient of a frozen objective, and where in the network it is."""

from __future__ import annotations

import math
from collections import defaultdict

from torch.func import grad

from ups.probes.products import Params, Scalar, full_precision, inner


def gradient(objective: Scalar, params: Params) -> Params:
    """Return the gradient; nothing is left in any `.grad`."""
    with full_precision(params):
        return grad(objective)({name: tensor.detach() for name, tensor in params.items()})


def norm(vector: Params) -> float:
    """Return the Euclidean norm over all entries."""
    return math.sqrt(inner(vector, vector))


def module_norms(vector: Params, depth: int = 1) -> dict[str, float]:
    """Return the norm for each module, named by the first `depth` parts of the parameters' names.

    Their squares add up to the square of the whole norm.
    """
    groups: dict[str, Params] = defaultdict(dict)
    for name, tensor in vector.items():
        groups[".".join(name.split(".")[:depth])][name] = tensor
    return {module: norm(group) for module, group in groups.items()}
