"""FitzHugh and Nagumo's reaction with diffusion, as PDEBench discretizes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from ups.solvers.equation import Defaults
from ups.solvers.modes import Frame, Modes, Spectrum, no_modes, require_modes
from ups.solvers.runge_kutta import RungeKutta4
from ups.solvers.split import Split
from ups.solvers.stencils import laplacian
from ups.types import Field, Grid

DIFFUSION = (1e-3, 5e-3)
"""Of the activator and of the inhibitor."""

THRESHOLD = 5e-3

FASTEST = 0.0125
"""Longest step that follows the reaction of states up to 4 in size, as white noise has them."""


@dataclass(frozen=True)
class FitzHughNagumo:
    """u_t = D_u lap u + u - u^3 - k - v, v_t = D_v lap v + u - v; second differences in space, Runge-Kutta in time.

    On cells, periodic or between walls that nothing crosses: the semi-discrete system of PDEBench's 2D
    diffusion-reaction, solved more accurately. From the same initial frame the two differ by PDEBench's error in time.
    Source: Takamoto et al., PDEBench, arXiv:2210.07182, appendix D.
    """

    data: ClassVar = Defaults(
        extent=2.0,
        initial="pdebench_noise",
        fields=(Field("activator"), Field("inhibitor")),
        cells_hold="averages",
    )
    obstacle = staticmethod(no_modes)

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        require_modes(grid, "FitzHugh-Nagumo")
        stable = 1.5 / (max(DIFFUSION) * sum(4 / spacing**2 for spacing in grid.spacing))

        def rate(frame: Frame) -> Frame:
            u, v = frame
            spread_u, spread_v = laplacian(frame, grid)
            return torch.stack([
                DIFFUSION[0] * spread_u + u - u**3 - THRESHOLD - v,
                DIFFUSION[1] * spread_v + u - v,
            ])

        return RungeKutta4(rate, duration, min(FASTEST, stable))

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        unit = modes.forth(torch.ones(grid.shape, dtype=torch.float64))

        def reaction(spectrum: Spectrum) -> Spectrum:
            u, v = modes.back_whole(spectrum)
            feeds = modes.forth_whole(torch.stack([u - u**3 - v, u - v]))
            return feeds - THRESHOLD * torch.stack([unit, torch.zeros_like(unit)])[:, None]

        diffusion = torch.tensor(DIFFUSION, dtype=torch.float64).reshape(2, 1, *(1,) * len(grid))
        return Split(modes, -diffusion * modes.stencil(), reaction)
