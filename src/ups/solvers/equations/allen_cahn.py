"""The Allen-Cahn equation: two phases and the fronts between them."""

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
class AllenCahn:
    """u_t = nu lap u + u - u^3 in any dimension, periodic or between walls; ETDRK4.

    u tends to -1 or 1; where it does not everywhere to the same, fronts tanh(x / sqrt(2 nu)) are left. On a line two
    of them at a distance d attract each other at a speed that falls as exp(-d sqrt(2 / nu)), so that some stay for
    ever in all but name. Meant for data in [-3, 3]. Source: Carr and Pego, Comm. Pure Appl. Math. 42 (1989) 523.
    """

    nu: Parameter

    data: ClassVar = Defaults({"nu": (0.004,)}, dt=0.2, fields=(Field("u"),))
    obstacle = staticmethod(no_modes)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        split = self.split(grid)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, max_step=0.05)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        symbol = 1 - per_mode(self.nu, grid) * modes.squared()
        return Split(modes, symbol, lambda u: -modes.dealiased(u, 3))

    def rate(self, frame: Frame, grid: Grid) -> Frame:
        """Return u_t, which is zero in a steady state."""
        return self.split(grid).rate(frame)
