"""Pseudo-spectral exponential integrators on a periodic domain: exact linear parts, ETDRK4 for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Spectrum = Complex[Tensor, "batch mode"]


def wavenumbers(num_cells: int, extent: float) -> Float[Tensor, "mode"]:
    """Return 2 pi k / extent for k = 0, ..., num_cells // 2."""
    return 2 * math.pi * torch.fft.rfftfreq(num_cells, extent / num_cells, dtype=torch.float64)


def derivative(num_cells: int, extent: float) -> Complex[Tensor, "mode"]:
    """Return the symbol of d/dx; zero at the Nyquist mode, whose derivative the grid cannot hold."""
    symbol = 1j * wavenumbers(num_cells, extent)
    if num_cells % 2 == 0:
        symbol[-1] = 0
    return symbol


def dealiased_square(spectrum: Spectrum, num_cells: int) -> Spectrum:
    """Return the spectrum of u^2 from the lower two thirds of the modes, to the lower two thirds.

    Source: Orszag, J. Atmos. Sci. 28 (1971) 1074.
    """
    kept = torch.arange(spectrum.shape[-1]) < num_cells / 3
    square = torch.fft.irfft(spectrum * kept, n=num_cells).square()
    return torch.fft.rfft(square) * kept


def dealiased_cube(spectrum: Spectrum, num_cells: int) -> Spectrum:
    """Return the spectrum of u^3 from the lower half of the modes, to the lower half; see `dealiased_square`."""
    kept = torch.arange(spectrum.shape[-1]) < num_cells / 4
    cube = torch.fft.irfft(spectrum * kept, n=num_cells) ** 3
    return torch.fft.rfft(cube) * kept


class Exponential:
    """Advances u_t = L u by `duration` exactly; `symbol` is L in Fourier space."""

    def __init__(self, symbol: Tensor, duration: float) -> None:
        self.factor = torch.exp(symbol * duration)

    def __call__(self, values: Float[Tensor, "batch cell"]) -> Float[Tensor, "batch cell"]:
        """Return the values `duration` later."""
        return torch.fft.irfft(torch.fft.rfft(values) * self.factor, n=values.shape[1])


class ETDRK4:
    """Advances u_t = L u + N(u) by `duration` in steps of at most `max_step`.

    `symbol` is L in Fourier space (of every row, or shared), `nonlinear` maps a spectrum to that of N. Fourth
    order in the step; exact where N = 0, the classical Runge-Kutta scheme where L = 0.

    Sources: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, eqs. 26-29; the coefficients as contour means,
    Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, section 3.
    """

    def __init__(
        self, symbol: Tensor, nonlinear: Callable[[Spectrum], Spectrum], duration: float, max_step: float
    ) -> None:
        self.num_steps = math.ceil(duration / max_step * (1 - 1e-12))
        self.nonlinear = nonlinear
        step = duration / self.num_steps
        z = symbol * step
        self.full, self.half = torch.exp(z), torch.exp(z / 2)
        points = [z + complex(math.cos(a), math.sin(a)) for a in _angles(32)]
        self.stage = step * _mean([(torch.exp(p / 2) - 1) / p for p in points], z)
        self.first = step * _mean([(-4 - p + torch.exp(p) * (4 - 3 * p + p**2)) / p**3 for p in points], z)
        self.inner = step * _mean([2 * (2 + p + torch.exp(p) * (p - 2)) / p**3 for p in points], z)
        self.last = step * _mean([(-4 - 3 * p - p**2 + torch.exp(p) * (4 - p)) / p**3 for p in points], z)

    def __call__(self, values: Float[Tensor, "batch cell"]) -> Float[Tensor, "batch cell"]:
        """Return the values `duration` later."""
        u = torch.fft.rfft(values)
        for _ in range(self.num_steps):
            n_u = self.nonlinear(u)
            a = self.half * u + self.stage * n_u
            n_a = self.nonlinear(a)
            b = self.half * u + self.stage * n_a
            n_b = self.nonlinear(b)
            c = self.half * a + self.stage * (2 * n_b - n_u)
            n_c = self.nonlinear(c)
            u = self.full * u + self.first * n_u + self.inner * (n_a + n_b) + self.last * n_c
        return torch.fft.irfft(u, n=values.shape[1])


def _angles(count: int) -> list[float]:
    return [2 * math.pi * (j + 0.5) / count for j in range(count)]


def _mean(values: list[Tensor], like: Tensor) -> Tensor:
    mean = sum(values, torch.zeros_like(values[0])) / len(values)
    return mean if like.is_complex() else mean.real
