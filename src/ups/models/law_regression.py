"""A conservation law read off from trajectories by least squares: where a learned law starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

LONGEST_WINDOW = 20
"""Frames over which a test function extends, at most: long, so that a front crosses it smoothly."""

NUM_MODES = 4
"""Waves of the test functions in space: long ones, which samples that straddle a front still measure well."""

POWER = 6
"""Of the bump in time, (1 - s^2)^6: the trapezoidal sum of so smooth a function is nearly exact."""

NUM_ITERATIONS = 50
"""Of Gauss and Newton's method for the diffusion; a few are enough, each is cheap."""

NO_DIFFUSION = 1e-12
"""Squared lengths of the line a frame: where the search begins if the data seem to have less than none."""

LEAST_SIZE = 1e-10
"""Of a singular value, in parts of the largest, that stands for more than round-off."""


@dataclass(frozen=True)
class Law:
    """v_t + f(v; p)_x = D(p) v_xx on a periodic line of length 1, time in frames.

    f'(v; p) = sum_k (speed[k, 0] + sum_j speed[k, 1 + j] p_j) v^k, log D(p) = log_diffusion[0] + sum_j
    log_diffusion[1 + j] p_j: affine in the parameters p, so positive where a diffusion must be.
    """

    speed: Float[Tensor, "power number"]
    log_diffusion: Float[Tensor, " number"]


def regress_law(
    v: Float[Tensor, "batch time cell"], params: Float[Tensor, "batch param"], num_powers: int
) -> Law:
    """Return the law with `num_powers` powers in its speed that fits trajectories of any parameters best.

    Multiplied by a bump phi(t) and a wave exp(-i m x), m = 2 pi, 4 pi, ..., and integrated by parts, the law says

        int phi' v_m dt = i m sum_k a_k(p) / (k + 1) int phi (v^{k+1})_m dt + D(p) m^2 int phi v_m dt,

    which is linear in the speed and differentiates nothing, so that it holds at fronts as well. Every window, wave
    and trajectory is one equation. What the speed can explain is projected out, the rest gives log D by Gauss and
    Newton's method, and the speed follows. Needs 3 frames or more.

    Source: the weak form of Messenger & Bortz, Weak SINDy for PDEs, arXiv:2007.02848; variable projection: Golub &
    Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.
    """
    v, params = v.double().cpu(), params.double().cpu()
    length = min(LONGEST_WINDOW, v.shape[1] - 1)
    s = torch.linspace(-1, 1, length + 1, dtype=v.dtype)
    bump = (1 - s**2) ** POWER
    slope = -2 * POWER * s * (1 - s**2) ** (POWER - 1) * (2 / length)
    wave = 2j * math.pi * torch.arange(1, NUM_MODES + 1)

    def against(powers: Tensor, test: Tensor) -> Complex[Tensor, "batch window mode"]:
        modes = torch.fft.rfft(powers, norm="forward")[..., 1 : NUM_MODES + 1]
        windows = modes.unfold(1, length + 1, max(length // 2, 1))
        return (windows * test).sum(-1)

    def equations(terms: Complex[Tensor, "batch window mode"]) -> Float[Tensor, "batch equation"]:
        return torch.view_as_real(terms).flatten(1)

    affine = torch.cat([torch.ones_like(v[:, 0, :1]), params], 1)[:, None]
    change, diffused = equations(against(v, slope)), equations(-(wave**2) * against(v, bump))
    fluxes = [equations(wave * against(v ** (k + 1) / (k + 1), bump)) for k in range(num_powers)]
    carried = torch.stack([flux[..., None] * affine for flux in fluxes], 2).flatten(2).flatten(0, 1)
    scale = carried.square().mean(0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    # singular vectors allow for terms that the data do not tell apart
    basis, size, mix = torch.linalg.svd(carried / scale, full_matrices=False)
    told = size > LEAST_SIZE * size.max()
    basis, solve = basis[:, told], mix[told].T / size[told]
    log_diffusion = _fit_diffusion(basis, change, diffused, affine)
    left = change - (affine @ log_diffusion).exp() * diffused
    speed = solve @ (basis.T @ left.flatten()) / scale
    return Law(speed.unflatten(0, (num_powers, -1)), log_diffusion)


def _fit_diffusion(
    carried: Float[Tensor, "row column"],
    change: Float[Tensor, "batch equation"],
    diffused: Float[Tensor, "batch equation"],
    affine: Float[Tensor, "batch 1 number"],
) -> Float[Tensor, " number"]:
    """Return the coefficients c of log D = affine c: least squares of change - D diffused beyond the span of `carried`.

    The columns of `carried` are orthonormal.
    """

    def beyond(x: Float[Tensor, "batch equation *more"]) -> Float[Tensor, "row *more"]:
        rows = x.flatten(0, 1)
        return rows - carried @ (carried.T @ rows)

    def missed(c: Float[Tensor, " number"]) -> Float[Tensor, " row"]:
        return beyond(change - (affine @ c).exp() * diffused)

    alone = beyond(diffused)
    constant = (alone @ beyond(change)) / alone.square().sum().clamp(min=torch.finfo(alone.dtype).tiny)
    c = torch.zeros_like(affine[0, 0])
    c[0] = constant.clamp(min=NO_DIFFUSION).log()
    for _ in range(NUM_ITERATIONS):
        slopes = beyond(((affine @ c).exp() * diffused)[..., None] * affine)
        step = torch.linalg.pinv(slopes) @ missed(c)
        step = step / step.norm().clamp(min=1)  # an exponential is far from a line
        while step.norm() > 1e-9 and missed(c + step).norm() >= missed(c).norm():
            step = step / 2
        if step.norm() <= 1e-9:
            break
        c = c + step
    return c
