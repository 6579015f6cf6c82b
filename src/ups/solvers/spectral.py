"""Pseudo-spectral exponential integrators on any grid that has modes: exact linear parts, ETDRK4 for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ups.solvers.modes import Frame, Modes, Spectrum


class Exponential:
    """Advances u_t = L u by `duration` exactly; `symbol` is L in Fourier space."""

    def __init__(self, modes: Modes, symbol: Tensor, duration: float) -> None:
        self.modes = modes
        self.factor = torch.exp(symbol * duration)

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame `duration` later."""
        return self.modes.back(self.modes.forth(frame) * self.factor)


class ETDRK4:
    """Advances u_t = L u + N(u) by `duration` in steps of at most `max_step`.

    `symbol` is L at the modes (of every row, or shared), `nonlinear` maps a spectrum to that of N. Fourth
    order in the step; exact where N = 0, the classical Runge-Kutta scheme where L = 0.

    Sources: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, eqs. 26-29; the coefficients as contour means,
    Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, section 3.
    """

    def __init__(
        self,
        modes: Modes,
        symbol: Tensor,
        nonlinear: Callable[[Spectrum], Spectrum],
        duration: float,
        max_step: float,
    ) -> None:
        self.modes = modes
        self.num_steps = math.ceil(duration / max_step * (1 - 1e-12))
        self.nonlinear = nonlinear
        step = duration / self.num_steps
        z = symbol * step
        self.full, self.half = torch.exp(z), torch.exp(z / 2)
        self.stage = step * _mean(lambda p: (torch.exp(p / 2) - 1) / p, z)
        self.first = step * _mean(lambda p: (-4 - p + torch.exp(p) * (4 - 3 * p + p**2)) / p**3, z)
        self.inner = step * _mean(lambda p: 2 * (2 + p + torch.exp(p) * (p - 2)) / p**3, z)
        self.last = step * _mean(lambda p: (-4 - 3 * p - p**2 + torch.exp(p) * (4 - p)) / p**3, z)

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame `duration` later."""
        u = self.modes.forth(frame)
        for _ in range(self.num_steps):
            n_u = self.nonlinear(u)
            a = self.half * u + self.stage * n_u
            n_a = self.nonlinear(a)
            b = self.half * u + self.stage * n_a
            n_b = self.nonlinear(b)
            c = self.half * a + self.stage * (2 * n_b - n_u)
            n_c = self.nonlinear(c)
            u = self.full * u + self.first * n_u + self.inner * (n_a + n_b) + self.last * n_c
        return self.modes.back(u)


def _mean(function: Callable[[Tensor], Tensor], z: Tensor, count: int = 32) -> Tensor:
    """Return the mean of an analytic function over a unit circle around z, which is its value at z."""
    total = torch.zeros(z.shape, dtype=torch.complex128)
    for j in range(count):
        angle = 2 * math.pi * (j + 0.5) / count
        total = total + function(z + complex(math.cos(angle), math.sin(angle)))
    mean = total / count
    return mean if z.is_complex() else mean.real
