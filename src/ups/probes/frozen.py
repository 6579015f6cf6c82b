"""What stays fixed while weights are compared: the data, the noise, the times and the probe vectors.

Runs that were probed with different sets cannot be compared, so a set is known by a hash over its bytes.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from ups.config import digest
from ups.probes.products import Params
from ups.streams import stream
from ups.types import UserError


@dataclass(frozen=True)
class ProbeSet:
    """Everything random that an objective reads (`tensors`, by name) and the seed of the probe vectors."""

    tensors: Mapping[str, Tensor]
    seed: int = 0
    num_vectors: int = 16

    @property
    def parts(self) -> dict[str, str]:
        """Each tensor's sha256 over type, shape and bytes; the seed and the number of vectors as they are."""
        hashes = {name: _sha256(tensor) for name, tensor in self.tensors.items()}
        return {**hashes, "seed": str(self.seed), "num_vectors": str(self.num_vectors)}

    @property
    def hash(self) -> str:
        """The sha256 of all parts."""
        return digest(self.parts, length=64)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the tensors on a device, those of real numbers in the given precision."""
        return {
            name: tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in self.tensors.items()
        }


def freeze(
    data: Float[Tensor, "batch *shape"],
    draw_times: Callable[[tuple[int, ...], Generator], Tensor],
    seed: int = 0,
    num_vectors: int = 16,
) -> ProbeSet:
    """Return the probe set of a diffusion objective: `data` with a noise and a time for each sample.

    `draw_times` should be stratified, so that the set has every noise level in equal shares.
    """
    noise = torch.randn(data.shape, generator=stream(seed, "probes/noise"))
    times = draw_times((len(data),), stream(seed, "probes/times"))
    tensors = {"data": data.detach().cpu(), "noise": noise.to(data.dtype), "times": times}
    return ProbeSet(tensors, seed, num_vectors)


def bins(times: Float[Tensor, " batch"], num_bins: int) -> dict[str, Int[Tensor, " index"]]:
    """Return the samples in each of `num_bins` equal bins of [0, 1], named by its edges; 1 is in the last."""
    index = (times * num_bins).long().clamp(0, num_bins - 1)
    edges = [k / num_bins for k in range(num_bins + 1)]
    names = [f"{low:.2f}-{high:.2f}" for low, high in pairwise(edges)]
    return {name: (index == k).nonzero()[:, 0] for k, name in enumerate(names)}


def require_same(runs: Mapping[str, Mapping[str, str]]) -> None:
    """Check that all runs (name -> `ProbeSet.parts`) were probed with one set.

    Raises:
        UserError: a run's set differs from the first one's; the message names the parts that do.
    """
    (first, expected), *others = runs.items()
    for name, parts in others:
        differing = sorted(k for k in expected.keys() | parts.keys() if expected.get(k) != parts.get(k))
        if differing:
            raise UserError(
                f"'{name}' was not probed as '{first}' was: {', '.join(differing)} differ; probe both with one set"
            )


def still(model: nn.Module, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Params]:
    """Return a copy of the model in evaluation mode that takes no gradient, and its trainable parameters.

    An objective calls the copy through `torch.func.functional_call(copy, params, inputs)`; the model itself
    cannot be touched by a probe. Parameters that the model keeps fixed are fixed in the copy.
    """
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    twin = copy.deepcopy(model).to(dtype).eval().requires_grad_(False)
    parameters = dict(twin.named_parameters())
    return twin, {name: parameters[name].detach() for name in trainable}


def _sha256(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous()
    described = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)} ".encode())
    described.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return described.hexdigest()
