"""The equations the house can solve, in one space dimension with periodic boundaries.

Each is a frozen dataclass of its parameters (numbers, or one per trajectory) and names its solver in
`propagator`, which returns the map from a frame to the frame `duration` later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ups.solvers.finite_volume import FiniteVolume
from ups.solvers.spectral import (
    ETDRK4,
    Exponential,
    dealiased_cube,
    dealiased_square,
    derivative,
    wavenumbers,
)

Frame = Float[Tensor, "batch cell"]
Parameter = float | Float[Tensor, "batch"]


@runtime_checkable
class Equation(Protocol):
    """An evolution equation of one field."""

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        ...


@dataclass(frozen=True)
class Burgers:
    """u_t + (u^2/2)_x = (nu/pi) u_xx, PDEBench's convention; finite volumes."""

    nu: Parameter

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        return FiniteVolume(self.nu / math.pi, duration, num_cells, extent)


@dataclass(frozen=True)
class Advection:
    """u_t + speed u_x = 0; exact in Fourier space, so a jump between two cells rings."""

    speed: Parameter

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        return Exponential(-_column(self.speed) * derivative(num_cells, extent), duration)


@dataclass(frozen=True)
class Heat:
    """u_t = nu u_xx; exact in Fourier space."""

    nu: Parameter

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        return Exponential(-_column(self.nu) * wavenumbers(num_cells, extent) ** 2, duration)


@dataclass(frozen=True)
class KuramotoSivashinsky:
    """u_t + u u_x + u_xx + u_xxxx = 0, chaotic for an extent above about 20; ETDRK4."""

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        k = wavenumbers(num_cells, extent)
        half_derivative = derivative(num_cells, extent) / 2
        return ETDRK4(
            k**2 - k**4, lambda u: -half_derivative * dealiased_square(u, num_cells), duration, max_step=0.05
        )


@dataclass(frozen=True)
class FisherKPP:
    """u_t = nu u_xx + rho u (1 - u), PDEBench's reaction-diffusion; ETDRK4.

    The term rho u is linear and treated exactly. Meant for data in [0, 1].
    """

    nu: Parameter
    rho: Parameter

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        rho = _column(self.rho)
        fastest = max(rho.max().item(), 1e-3 / duration)
        symbol = rho - _column(self.nu) * wavenumbers(num_cells, extent) ** 2
        return ETDRK4(symbol, lambda u: -rho * dealiased_square(u, num_cells), duration, 0.02 / fastest)


@dataclass(frozen=True)
class AllenCahn:
    """u_t = nu u_xx + u - u^3; ETDRK4.

    u tends to -1 or 1; where it does not everywhere to the same, fronts tanh(x / sqrt(2 nu)) are left. Two of them at
    a distance d attract each other at a speed that falls as exp(-d sqrt(2 / nu)), so that some stay for ever in all
    but name. Meant for data in [-3, 3]. Source: Carr and Pego, Comm. Pure Appl. Math. 42 (1989) 523.
    """

    nu: Parameter

    def propagator(self, duration: float, num_cells: int, extent: float) -> Callable[[Frame], Frame]:
        """Return the map from a frame to the frame `duration` later."""
        symbol = self._symbol(num_cells, extent)
        return ETDRK4(symbol, lambda u: -dealiased_cube(u, num_cells), duration, max_step=0.05)

    def rate(self, frame: Frame, extent: float) -> Frame:
        """Return u_t, which is zero in a steady state."""
        num_cells = frame.shape[1]
        spectrum = torch.fft.rfft(frame)
        rate = self._symbol(num_cells, extent) * spectrum - dealiased_cube(spectrum, num_cells)
        return torch.fft.irfft(rate, n=num_cells)

    def _symbol(self, num_cells: int, extent: float) -> Float[Tensor, "_ mode"]:
        return 1 - _column(self.nu) * wavenumbers(num_cells, extent) ** 2


def _column(parameter: Parameter) -> Tensor:
    """Return a parameter as a column that broadcasts over the modes of a batch."""
    return torch.as_tensor(parameter, dtype=torch.float64).reshape(-1, 1)
