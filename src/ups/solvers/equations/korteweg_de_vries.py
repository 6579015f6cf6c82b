"""The Korteweg-de Vries equation: solitons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ups.solvers.equation import Defaults
from ups.solvers.modes import Frame, Modes
from ups.solvers.spectral import ETDRK4
from ups.solvers.split import Split
from ups.types import Grid, no_periodic_line, require_periodic_line


@dataclass(frozen=True)
class KortewegDeVries:
    """u_t + 6 u u_x + u_xxx = 0 on a periodic line; ETDRK4, the dispersion exact.

    A soliton (c/2) sech^2(sqrt(c) (x - c t) / 2) keeps its shape, and two that meet come out as they were. The steps
    of .002 are meant for waves of order one that are some units long: there the error of a frame is about 1e-6.
    """

    data: ClassVar = Defaults(extent=20.0, dt=0.1)
    obstacle = staticmethod(no_periodic_line)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        require_periodic_line(grid, "Korteweg-de Vries")
        split = self.split(grid)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, max_step=0.002)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        derivative = modes.derivative()
        return Split(modes, -(derivative**3), lambda u: -3 * derivative * modes.dealiased(u, 2))
