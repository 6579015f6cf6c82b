"""The Kuramoto-Sivashinsky equation: chaos on a line."""

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
class KuramotoSivashinsky:
    """u_t + u u_x + u_xx + u_xxxx = 0 on a periodic line, chaotic for an extent above about 20; ETDRK4."""

    data: ClassVar = Defaults(extent=64.0, dt=1.0, warmup=100.0)
    obstacle = staticmethod(no_periodic_line)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        require_periodic_line(grid, "Kuramoto-Sivashinsky")
        split = self.split(grid)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, max_step=0.05)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        k, half_derivative = modes.wavenumbers(), modes.derivative() / 2
        return Split(modes, k**2 - k**4, lambda u: -half_derivative * modes.dealiased(u, 2))
