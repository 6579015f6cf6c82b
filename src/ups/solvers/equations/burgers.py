"""Burgers' equation, PDEBench's convention."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ups.solvers.equation import Defaults, Parameter, per_mode
from ups.solvers.finite_volume import FiniteVolume
from ups.solvers.modes import Frame, Modes
from ups.solvers.split import Split
from ups.types import Grid, no_periodic_line, require_periodic_line


@dataclass(frozen=True)
class Burgers:
    """u_t + (u^2/2)_x = (nu/pi) u_xx on a periodic line; finite volumes."""

    nu: Parameter

    data: ClassVar = Defaults({"nu": (0.001,)}, initial="pdebench_like", cells_hold="averages", refinement=4)
    obstacle = staticmethod(no_periodic_line)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        require_periodic_line(grid, "Burgers")
        scheme = FiniteVolume(self.nu / math.pi, duration, grid.shape[0], grid.extent[0])
        return lambda frame: scheme(frame.reshape(-1, grid.shape[0])).reshape(frame.shape)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        derivative, symbol = modes.derivative(), -per_mode(self.nu / math.pi, grid) * modes.squared()
        # of the flux that the cells themselves have: where fronts are thinner than a cell, no residual is small
        return Split(modes, symbol, lambda u: -derivative / 2 * modes.forth(modes.back(u) ** 2))
