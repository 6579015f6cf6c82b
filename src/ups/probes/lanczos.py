"""The largest and the smallest eigenvalue of a symmetric matrix that is known by its products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Extremes:
    """Extreme eigenvalues, approached from inside the spectrum.

    Each has a true eigenvalue within its residual |A y - value y|, y being its unit Ritz vector.
    """

    largest: float
    smallest: float
    largest_residual: float
    smallest_residual: float
    num_steps: int


def lanczos(
    product: Callable[[Tensor], Tensor],
    start: Float[Tensor, " size"],
    max_steps: int = 50,
    tolerance: float = 1e-4,
) -> Extremes:
    """Run Lanczos with full reorthogonalization until both residuals are below `tolerance` max |value|.

    It ends after `max_steps` products at the latest and keeps one vector a step. After as many steps as there are
    distinct eigenvalues the result is exact. `start` must not be orthogonal to the wanted eigenvectors: draw it.
    Source: Parlett, The Symmetric Eigenvalue Problem (1998), chapter 13.
    """
    basis = start.new_empty(min(max_steps, len(start)), len(start))
    basis[0] = start / start.norm()
    tridiagonal = torch.zeros(len(basis), len(basis), dtype=torch.float64)
    for k in range(len(basis)):
        known = basis[: k + 1]
        remainder = product(basis[k])
        tridiagonal[k, k] = basis[k].double() @ remainder.double()
        for _ in range(2):  # once leaves what cancellation hides; twice is enough
            remainder = remainder - known.T @ (known @ remainder)
        coupling = remainder.double().norm().cpu()
        values, vectors = torch.linalg.eigh(tridiagonal[: k + 1, : k + 1])
        residuals = coupling * vectors[-1].abs()
        converged = max(residuals[0], residuals[-1]) <= tolerance * values.abs().max()
        if converged or k + 1 == len(basis):
            break
        tridiagonal[k, k + 1] = tridiagonal[k + 1, k] = coupling
        basis[k + 1] = remainder / coupling
    return Extremes(float(values[-1]), float(values[0]), float(residuals[-1]), float(residuals[0]), k + 1)
