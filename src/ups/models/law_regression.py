"""A conservation law read off from trajectories by least squares: where a learned law starts from."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST_WINDOW = 20
"""Frames over which a test function extends, at most: long, so that a front crosses it smoothly."""

NUM_MODES = 4
"""Waves of the test functions in space: long ones, which samples that straddle a front still measure well."""

POWER = 6
"""Of the bump in time, (1 - s^2)^6: the trapezoidal sum of so smooth a function is nearly exact."""


def regress_law(v: Float[Tensor, "batch time cell"], num_powers: int) -> Float[Tensor, " number"]:
    """Return the law v_t + f(v)_x = D v_xx that fits trajectories best: f' in powers of v, then D.

    f'(v) = sum_k a_k v^k for k < `num_powers`; the line is periodic of length 1, time is in frames. Multiplied by
    a bump phi(t) and a wave exp(-i m x), m = 2 pi, 4 pi, ..., and integrated by parts, the law says

        int phi' v_m dt = i m sum_k a_k / (k + 1) int phi (v^{k+1})_m dt + D m^2 int phi v_m dt,

    which is linear in a and D and differentiates nothing, so that it holds at fronts as well. Every window, wave
    and trajectory is one equation. Needs 3 frames or more.

    Source: the weak form of Messenger & Bortz, Weak SINDy for PDEs, arXiv:2007.02848.
    """
    v = v.double()
    length = min(LONGEST_WINDOW, v.shape[1] - 1)
    s = torch.linspace(-1, 1, length + 1, dtype=v.dtype, device=v.device)
    bump = (1 - s**2) ** POWER
    slope = -2 * POWER * s * (1 - s**2) ** (POWER - 1) * (2 / length)
    wave = 2j * math.pi * torch.arange(1, NUM_MODES + 1, device=v.device)

    def against(powers: Tensor, test: Tensor) -> Tensor:
        modes = torch.fft.rfft(powers, norm="forward")[..., 1 : NUM_MODES + 1]
        windows = modes.unfold(1, length + 1, max(length // 2, 1))
        return (windows * test).sum(-1)

    fluxes = [wave * against(v ** (k + 1) / (k + 1), bump) for k in range(num_powers)]
    terms = torch.stack([*fluxes, -(wave**2) * against(v, bump)], dim=-1).flatten(0, -2)
    change = against(v, slope).flatten()
    matrix, wanted = torch.view_as_real(terms), torch.view_as_real(change)
    scale = matrix.square().mean((0, 2)).sqrt().clamp(min=torch.finfo(v.dtype).tiny)
    matrix = (matrix / scale[:, None]).mT.flatten(0, 1)
    # on the processor, where the solver allows for terms that the data do not tell apart
    solution = torch.linalg.lstsq(matrix.cpu(), wanted.flatten()[:, None].cpu()).solution[:, 0]
    return solution.to(v.device) / scale
