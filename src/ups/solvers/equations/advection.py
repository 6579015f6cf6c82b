"""Advection at a constant speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ups.solvers.equation import Defaults, Parameter, per_mode
from ups.solvers.modes import Frame, Modes
from ups.solvers.spectral import Exponential
from ups.solvers.split import Split
from ups.types import Grid, no_periodic_line, require_periodic_line


@dataclass(frozen=True)
class Advection:
    """u_t + speed u_x = 0 on a periodic line; exact in Fourier space, so a jump between two cells rings."""

    speed: Parameter

    data: ClassVar = Defaults({"speed": (0.4,)})
    obstacle = staticmethod(no_periodic_line)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        require_periodic_line(grid, "Advection")
        split = self.split(grid)
        return Exponential(split.modes, split.symbol, duration)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        return Split(modes, -per_mode(self.speed, grid) * modes.derivative())
