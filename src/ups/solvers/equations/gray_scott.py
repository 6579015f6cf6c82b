"""The Gray-Scott reaction: two substances, spots, stripes and waves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from ups.solvers.equation import Defaults, Parameter, per_mode
from ups.solvers.modes import Frame, Modes, Spectrum, no_modes
from ups.solvers.spectral import ETDRK4
from ups.solvers.split import Split
from ups.types import Field, Grid

DIFFUSION = (0.2, 0.1)
"""Of u and of v; lengths are counted in units that make them so (Pearson has 2e-5 and 1e-5 on 2.5 x 2.5)."""


@dataclass(frozen=True)
class GrayScott:
    """u_t = D_u lap u - u v^2 + F (1 - u), v_t = D_v lap v + u v^2 - (F + k) v, periodic or between walls; ETDRK4.

    u is what is fed at the rate F, v what eats it and decays at the rate F + k; both stay in [0, 1]. Products alias:
    no energy piles up in a reaction, and cutting half of the waves off costs fronts of few cells far more (on 64 x 64
    cells of side 1, 7e-3 of the solution where aliasing costs 9e-6).
    Source: Pearson, Science 261 (1993) 189.
    """

    feed: Parameter
    kill: Parameter

    data: ClassVar = Defaults(
        {"feed": (0.03,), "kill": (0.06,)},
        extent=128.0,
        dt=20.0,
        refinement=2,
        initial="seeds",
        fields=(Field("u", positive=True), Field("v", positive=True)),
    )
    obstacle = staticmethod(no_modes)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        split = self.split(grid)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, max_step=1.0)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        feed, kill = per_mode(self.feed, grid), per_mode(self.kill, grid)
        source = feed * modes.forth(torch.ones(grid.shape, dtype=torch.float64))

        def reaction(spectrum: Spectrum) -> Spectrum:
            u, v = modes.back_whole(spectrum)
            eaten = modes.forth_whole(u * v**2)
            return torch.stack([source - eaten, eaten])

        decay = torch.stack(torch.broadcast_tensors(feed, feed + kill))
        diffusion = torch.tensor(DIFFUSION, dtype=torch.float64).reshape(2, 1, *(1,) * len(grid))
        return Split(modes, -decay - diffusion * modes.squared(), reaction)
