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
from ups.solvers.spectral import ETDRK4, Exponential, dealiased_square, derivative, wavenumbers

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


def _column(parameter: Parameter) -> Tensor:
    """Return a parameter as a column that broadcasts over the modes of a batch."""
    return torch.as_tensor(parameter, dtype=torch.float64).reshape(-1, 1)
