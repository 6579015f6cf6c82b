"""Random kicks: the same law makes the data and stands on the ladder as their perfect ensemble."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, model_validator
from torch import Generator, Tensor

from ups.checkpoint import Manifest
from ups.config import Settings
from ups.solvers.equation import Equation, fields_of
from ups.solvers.equations import Vorticity
from ups.solvers.stepper import Coarse, CoarseManifest, CoarseState
from ups.types import Axis, Grid, describe_boundaries


class Kicks(Settings):
    """The law of one localized kick: s A exp(-|x - c|^2 / (2 w^2)) on a periodic line, plane or box.

    The place c is uniform on the domain, the sign s a fair coin, the size A (in units of the field) and the width w
    (the standard deviation, in units of length) uniform between their bounds; all are independent. The expected
    kick is zero, but a single one changes the mean of the field, on a line by s A w sqrt(2 pi) / extent. The widths
    must be positive and at most an eighth of the shortest axis: a bump's tail is followed once around it.
    """

    kind: Literal["kicks"] = "kicks"
    size: tuple[NonNegativeFloat, NonNegativeFloat] = (0.3, 0.8)
    """Bounds of the height of a kick."""
    width: tuple[PositiveFloat, PositiveFloat] = (0.02, 0.06)
    """Bounds of the standard deviation of a kick, at most an eighth of the shortest axis."""
    balanced: bool = False
    """Take its mean off every kick, so that the integral of the field stays what it is; a vorticity asks for it."""

    @model_validator(mode="after")
    def _rises(self) -> Kicks:
        for name in ("size", "width"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}=[{low:g}, {high:g}]: give the lower bound first")
        return self

    def obstacle(self, equation: type[Equation], grid: Grid) -> str:
        """Return why what an equation moves on a grid cannot be kicked so; "" if it can."""
        if not grid.is_periodic:
            return f"needs a periodic domain, the data live on {describe_boundaries(grid)}"
        if 8 * self.width[1] > min(grid.extent):
            axes = "line" if len(grid) == 1 else "shortest axis"
            return f"width={list(self.width)} is more than an eighth of the {axes}"
        if len(fields_of(equation)) > 1:
            return f"kicks one field, {equation.__name__} moves several"
        if equation is Vorticity and not self.balanced:
            return "would move the mean of a vorticity, which is zero: set forcing.balanced=true"
        return ""

    def kick(self, batch: int, grid: Grid, generator: Generator) -> Float[Tensor, "batch *grid"]:
        """Return one kick for each row, as exact cell averages in float64 on the generator's device.

        What is drawn does not depend on the grid: the averages of a finer one average to those of a coarser one.
        """
        shape = batch, 3 + len(grid), *(1,) * len(grid)
        draws = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
        first, width, size, sign, *others = draws.unbind(1)
        width = self.width[0] + (self.width[1] - self.width[0]) * width
        size = self.size[0] + (self.size[1] - self.size[0]) * size
        kick = torch.where(sign < 0.5, -size, size)
        for number, (axis, place) in enumerate(zip(grid.axes, (first, *others), strict=True), start=1):
            steps = _steps(axis, axis.extent * place.flatten(), width.flatten())
            steps = steps.reshape(batch, *(axis.cells if n == number else 1 for n in range(1, kick.ndim)))
            kick = math.sqrt(math.pi / 2) * kick * width * axis.cells / axis.extent * steps
        return kick - kick.mean(tuple(range(1, kick.ndim)), keepdim=True) if self.balanced else kick


def _steps(
    axis: Axis, place: Float[Tensor, " batch"], width: Float[Tensor, " batch"]
) -> Float[Tensor, "batch cell"]:
    """Return the differences of erf((x - place) / (sqrt(2) width)) over the cells of a periodic axis."""
    edges = axis.extent / axis.cells * torch.arange(axis.cells + 1, device=place.device, dtype=torch.float64)
    around = axis.extent * torch.arange(-1, 2, device=place.device, dtype=torch.float64)[:, None]
    distance = edges - around - place[:, None, None]
    return torch.diff(torch.erf(distance / (math.sqrt(2) * width[:, None, None])).sum(1))


class Kicked:
    """A solver that is kicked at the start of every frame: its ensembles are perfect for data made this way.

    The members of an ensemble are the equation's exact possible futures, as the solver sees them, so no forecast
    has a smaller expected score: this is the reference. States and frames are the solver's; only the generator
    decides what happens.
    """

    num_context = 1

    def __init__(self, solver: Coarse, kicks: Kicks) -> None:
        self.solver, self.frames_read = solver, solver.frames_read
        self.kicks = kicks

    def encode(
        self, context: Float[Tensor, "batch time 1 *grid"], params: Float[Tensor, "batch param"]
    ) -> CoarseState:
        """Return the last context frame on the solver's grid."""
        return self.solver.encode(context, params)

    def advance(self, state: CoarseState, generator: Generator | None = None) -> CoarseState:
        """Return the state `fields.dt` later: every row is kicked, then solved.

        Raises:
            ValueError: there is no generator to draw the kicks from.
        """
        if generator is None:
            raise ValueError("a kicked solver draws its kicks: give a generator")
        kick = self.kicks.kick(len(state.averages), self.solver.grid, generator)
        return self.solver.advance(
            state._replace(averages=state.averages + kick[:, None].to(state.averages.device))
        )

    def decode(self, state: CoarseState) -> Float[Tensor, "batch 1 *grid"]:
        """Return the frame on the native grid, in float32."""
        return self.solver.decode(state)

    def manifest(self) -> KickedManifest:
        """Return all that is needed to build this solver again."""
        return KickedManifest(solver=self.solver.manifest(), kicks=self.kicks)


class KickedManifest(Manifest):
    """From what a kicked solver was built."""

    kind: Literal["kicked_solver"] = "kicked_solver"
    solver: CoarseManifest
    """What solves between two kicks."""
    kicks: Kicks
    """Their law."""

    def build(self) -> Kicked:
        """Return the solver."""
        return Kicked(self.solver.build(), self.kicks)
