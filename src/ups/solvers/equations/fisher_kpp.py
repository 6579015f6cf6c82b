"""Fisher's equation: growth that spreads, PDEBench's reaction-diffusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ups.solvers.equation import Defaults, Parameter, per_mode
from ups.solvers.modes import Frame, Modes, no_modes
from ups.solvers.spectral import ETDRK4
from ups.solvers.split import Split
from ups.types import Field, Grid


@dataclass(frozen=True)
class FisherKPP:
    """u_t = nu lap u + rho u (1 - u) in any dimension, periodic or between walls; ETDRK4.

    The term rho u is linear and treated exactly. Meant for data in [0, 1].
    """

    nu: Parameter
    rho: Parameter

    data: ClassVar = Defaults({"nu": (0.001,), "rho": (2.0,)}, unit_range=True, fields=(Field("u"),))
    obstacle = staticmethod(no_modes)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        split = self.split(grid)
        fastest = max(per_mode(self.rho, grid).max().item(), 1e-3 / duration)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, 0.02 / fastest)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes, rho = Modes(grid), per_mode(self.rho, grid)
        symbol = rho - per_mode(self.nu, grid) * modes.squared()
        return Split(modes, symbol, lambda u: -rho * modes.dealiased(u, 2))
