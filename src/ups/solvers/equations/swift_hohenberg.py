"""The Swift-Hohenberg equation: patterns of one wavelength."""

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
class SwiftHohenberg:
    """u_t = r u - (1 + lap)^2 u - u^3 in any dimension, periodic or between walls; ETDRK4.

    Above r = 0 waves of length 2 pi grow to stripes of an amplitude near 2 sqrt(r / 3).
    Source: Swift and Hohenberg, Phys. Rev. A 15 (1977) 319.
    """

    r: Parameter

    data: ClassVar = Defaults({"r": (0.7,)}, extent=50.0, dt=0.5, fields=(Field("u"),))
    obstacle = staticmethod(no_modes)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        split = self.split(grid)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, max_step=0.05)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        symbol = per_mode(self.r, grid) - (1 - modes.squared()) ** 2
        return Split(modes, symbol, lambda u: -modes.dealiased(u, 3))
