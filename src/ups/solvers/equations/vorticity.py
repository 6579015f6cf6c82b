"""The vorticity of incompressible flow in a periodic plane: decaying, or stirred as in FNO's Navier-Stokes data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ups.solvers.equation import Defaults, Parameter, per_mode
from ups.solvers.modes import Frame, Modes, Spectrum
from ups.solvers.spectral import ETDRK4
from ups.solvers.split import Split
from ups.types import Field, Grid, UserError, describe_boundaries

STEPS = 0.04
"""Longest step, in units of time, of flows whose vorticity is of order one, on a domain of length one."""


@dataclass(frozen=True)
class Vorticity:
    """w_t + (c . grad) w = nu lap w + strength (sin s + cos s), c = (psi_y, -psi_x), -lap psi = w; ETDRK4, dealiased.

    s = 2 pi (x + y) on the unit square, one wave along both axes on any other. A strength of 0 lets the flow decay;
    0.1 is that of Li et al., Fourier Neural Operator, arXiv:2010.08895, appendix A.3.3. The mean of w is zero and
    stays so: a mean is left out.
    """

    nu: Parameter
    strength: Parameter

    data: ClassVar = Defaults(
        {"nu": (0.001,), "strength": (0.1,)},
        dt=1.0,
        initial="gaussian_field",
        fields=(Field("vorticity", conserved=True),),
    )

    @staticmethod
    def obstacle(grid: Grid) -> str:
        """Return why the equation cannot be solved on a grid; "" if it can."""
        if len(grid) == 2 and grid.is_periodic:
            return ""
        return f"needs a periodic plane, the data live on {describe_boundaries(grid)}"

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later."""
        if reason := self.obstacle(grid):
            raise UserError(f"Vorticity: {reason}")
        split = self.split(grid)
        longest = STEPS * min(grid.extent) * 64 / max(64, *grid.shape)
        return ETDRK4(split.modes, split.symbol, split.nonlinear, duration, longest)

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        modes = Modes(grid)
        forcing = per_mode(self.strength, grid) * modes.forth(_stirring(grid))
        advect = advection(modes)

        def nonlinear(w: Spectrum) -> Spectrum:
            return forcing - advect(w)

        return Split(modes, -per_mode(self.nu, grid) * modes.squared(), nonlinear)


def advection(modes: Modes) -> Callable[[Spectrum], Spectrum]:
    """Return the map from the spectrum of w to that of (c . grad) w = div (c w), dealiased; c as in `Vorticity`."""
    kept = modes.kept(2)
    d_x, d_y = modes.derivative(0), modes.derivative(1)
    squared = modes.squared()
    stream = torch.where(squared > 0, 1 / squared.clamp(min=torch.finfo(torch.float64).tiny), 0.0) * kept

    def advect(w: Spectrum) -> Spectrum:
        values = modes.back_whole(w * kept)
        flow_x, flow_y = modes.back_whole(d_y * stream * w), -modes.back_whole(d_x * stream * w)
        flux_x, flux_y = modes.forth_whole(flow_x * values), modes.forth_whole(flow_y * values)
        return (d_x * flux_x + d_y * flux_y) * kept

    return advect


def _stirring(grid: Grid) -> Tensor:
    """Return sin s + cos s at the centres of the cells."""
    x, y = (2 * math.pi * axis.centres() / axis.extent for axis in grid.axes)
    s = x[:, None] + y
    return s.sin() + s.cos()
