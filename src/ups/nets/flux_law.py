"""A finite-volume scheme as a differentiable layer: the flux of a scalar conservation law is its argument."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

CFL = 0.9
"""Largest part of a cell that a wave crosses in one substep."""

SLOWEST = 0.08
"""Lengths of the domain in a unit of time: slower rows take the substeps of this speed, so that the cost is known
before the law is."""

MAX_SUBSTEPS = 1000
"""Substeps of one call, for speeds that have run away."""


def advance_law(
    v: Float[Tensor, "batch cell"],
    speed: Float[Tensor, "batch power"],
    diffusion: Float[Tensor, " batch"],
) -> Float[Tensor, "batch cell"]:
    """Return cell averages one unit of time later, v_t + f(v)_x = diffusion v_xx on a periodic line of length 1.

    f'(v) = sum_k speed[k] v^k. MUSCL with the MC limiter, Hancock's predictor and the central-upwind flux, which is
    the upwind one where all waves go the same way; diffusion exact in Fourier space between the substeps (Strang).
    The sum over cells is kept to round-off. Each row takes its own number of equal substeps, so a result does not
    depend on what else is in the batch; the number itself is not differentiated.

    Sources: van Leer, J. Comput. Phys. 23 (1977) 276; Kurganov, Noelle & Petrova, SIAM J. Sci. Comput. 23 (2001)
    707; a learned law inside a finite-volume scheme: Karlbauer et al., arXiv:2111.11798.
    """
    num_cells = v.shape[1]
    with torch.no_grad():
        # the values stay between their extremes, so the speeds of all times are bounded by those of a few values
        values = torch.lerp(
            v.amin(1), v.amax(1), torch.linspace(0, 1, 17, dtype=v.dtype, device=v.device)[:, None]
        ).mT
        fastest = polynomial(speed, values).abs().amax(1).clamp(min=SLOWEST)
        num_substeps = (fastest * (num_cells / CFL)).nan_to_num(MAX_SUBSTEPS).ceil().clamp(1, MAX_SUBSTEPS)
        order = num_substeps.argsort(descending=True, stable=True)
        num_substeps = num_substeps[order]
        counts = num_substeps.long().tolist()
    v, speed, diffusion = v[order], speed[order], diffusion[order]
    duration = (1 / num_substeps)[:, None]
    wavenumber = 2 * math.pi * torch.arange(num_cells // 2 + 1, device=v.device)
    half = torch.exp(-diffusion[:, None] * duration / 2 * wavenumber**2)
    damping = half**2
    smoothed = _filter(v, half)
    finished = []
    active = len(counts)
    for substep in range(counts[0]):
        while counts[active - 1] == substep:  # the last rows finish first
            active -= 1
        if active < len(smoothed):
            finished.append(smoothed[active:])
            smoothed = smoothed[:active]
        last = (num_substeps[:active] == substep + 1)[:, None]
        factor = torch.where(last, half[:active], damping[:active])
        smoothed = _substep(smoothed, speed[:active], duration[:active] * num_cells, factor)
    finished.append(smoothed)
    return torch.cat(finished[::-1])[order.argsort()]


def polynomial(
    coefficients: Float[Tensor, "batch power"], v: Float[Tensor, "batch cell"]
) -> Float[Tensor, "batch cell"]:
    """Return sum_k coefficients[k] v^k by Horner's rule."""
    columns = coefficients.unsqueeze(-1).unbind(1)
    total = columns[-1].expand_as(v)
    for column in columns[-2::-1]:
        total = torch.addcmul(column, total, v)
    return total


def antiderivative(coefficients: Float[Tensor, "batch power"]) -> Float[Tensor, "batch next_power"]:
    """Return the coefficients of the polynomial's integral from 0."""
    powers = torch.arange(1, coefficients.shape[1] + 1, device=coefficients.device)
    return torch.cat([torch.zeros_like(coefficients[:, :1]), coefficients / powers], dim=1)


def _substep(
    v: Float[Tensor, "batch cell"],
    speed: Float[Tensor, "batch power"],
    ratio: Float[Tensor, "batch 1"],
    damping: Float[Tensor, "batch mode"],
) -> Float[Tensor, "batch cell"]:
    """Return the averages one substep later, then damped; `ratio` is its duration over the width of a cell."""
    ahead = v.roll(-1, 1) - v
    behind = ahead.roll(1, 1)
    # half of the MC slope: the central one, bounded by both neighbors, zero at an extremum
    low, high = torch.maximum(behind, ahead).clamp(max=0), torch.minimum(behind, ahead).clamp(min=0)
    slope = ((behind + ahead) / 4).clamp(low, high)
    middle = torch.addcmul(v, polynomial(speed, v) * slope, ratio, value=-1)
    left, right = middle + slope, (middle - slope).roll(-1, 1)
    speed_left, speed_right = polynomial(speed, left), polynomial(speed, right)
    law = antiderivative(speed)
    flux_left, flux_right = polynomial(law, left), polynomial(law, right)
    up = torch.maximum(speed_left, speed_right).clamp(min=1e-12)
    down = torch.minimum(speed_left, speed_right).clamp(max=-1e-12)
    flux = (up * flux_left - down * flux_right + up * down * (right - left)) / (up - down)
    return _filter(torch.addcmul(v, ratio, flux - flux.roll(1, 1), value=-1), damping)


def _filter(
    v: Float[Tensor, "batch cell"], factor: Float[Tensor, "batch mode"]
) -> Float[Tensor, "batch cell"]:
    return torch.fft.irfft(torch.fft.rfft(v) * factor, n=v.shape[1])
