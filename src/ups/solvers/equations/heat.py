"""Diffusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ups.solvers.equation import Defaults, Parameter, per_mode
from ups.solvers.modes import Frame, Modes, no_modes
from ups.solvers.spectral import Exponential
from ups.solvers.split import Split
from ups.types import Grid


@dataclass(frozen=True)
class Heat:
    """u_t = nu lap u in any dimension, periodic or between walls; exact at the modes of the grid."""

    nu: Parameter

    data: ClassVar = Defaults({"nu": (0.002,)})
    obstacle = staticmethod(no_modes)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        split = self.split(grid)
        return Exponential(split.modes, split.symbol, duration)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        return Split(modes, -per_mode(self.nu, grid) * modes.squared())
