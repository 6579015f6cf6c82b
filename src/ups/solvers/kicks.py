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
from ups.solvers.stepper import Coarse, CoarseManifest, CoarseState


class Kicks(Settings):
    """The law of one localized kick: s A exp(-(x - c)^2 / (2 w^2)) on a periodic line.

    The place c is uniform on the line, the sign s a fair coin, the size A (in units of the field) and the width w
    (the standard deviation, in units of length) uniform between their bounds; all are independent. The expected
    kick is zero, but a single one changes the mean of the field by s A w sqrt(2 pi) / extent. The widths must be
    positive and at most an eighth of the line: a bump's tail is followed once around it.
    """

    kind: Literal["kicks"] = "kicks"
    size: tuple[NonNegativeFloat, NonNegativeFloat] = (0.3, 0.8)
    """Bounds of the height of a kick."""
    width: tuple[PositiveFloat, PositiveFloat] = (0.02, 0.06)
    """Bounds of the standard deviation of a kick, at most an eighth of the line."""

    @model_validator(mode="after")
    def _rises(self) -> Kicks:
        for name in ("size", "width"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}=[{low:g}, {high:g}]: give the lower bound first")
        return self

    def kick(
        self, batch: int, num_cells: int, extent: float, generator: Generator
    ) -> Float[Tensor, "batch cell"]:
        """Return one kick for each row, as exact cell averages in float64 on the generator's device.

        What is drawn does not depend on the grid: the averages of a finer one average to those of a coarser one.
        """
        draws = torch.rand(batch, 4, 1, 1, generator=generator, device=generator.device, dtype=torch.float64)
        place, width, size, sign = draws.unbind(1)
        place = extent * place
        width = self.width[0] + (self.width[1] - self.width[0]) * width
        size = self.size[0] + (self.size[1] - self.size[0]) * size

        edges = extent / num_cells * torch.arange(num_cells + 1, device=draws.device, dtype=torch.float64)
        around = extent * torch.arange(-1, 2, device=draws.device, dtype=torch.float64)[:, None]
        integral = torch.erf((edges - around - place) / (math.sqrt(2) * width)).sum(1)
        scale = math.sqrt(math.pi / 2) * torch.where(sign < 0.5, -size, size) * width * num_cells / extent
        return scale[:, 0] * torch.diff(integral)


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
        self, context: Float[Tensor, "batch time 1 cell"], params: Float[Tensor, "batch param"]
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
        extent = self.solver.fields.grid.extent[0]
        kick = self.kicks.kick(len(state.averages), self.solver.num_cells, extent, generator)
        return self.solver.advance(
            state._replace(averages=state.averages + kick[:, None].to(state.averages.device))
        )

    def decode(self, state: CoarseState) -> Float[Tensor, "batch 1 cell"]:
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
