"""Steady problems: where does an evolution end? Two frames, the one it starts from and the one it comes to rest in."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat
from torch import Tensor

from ups.config import Settings
from ups.data.blocks import BLOCK, Report
from ups.solvers.equation import Steady
from ups.solvers.solve import solve
from ups.types import Grid, UserError

SPARE = 8
"""Problems of a block that may be left out since they have not come to rest."""


class Rest(Settings):
    """Frame 0 is where a trajectory starts, frame 1 the solution `time` later, which is `fields.dt`.

    Frame 1 is steady: |u_t| is below `bound` everywhere, and problems of which this does not hold by then (of
    Allen-Cahn's with the defaults about one in a hundred) are left out. Given the parameters alone the end is one of
    many: of Allen-Cahn -1, 1, or fronts at places that no one can know; their mean is none of them. Given frame 0 it
    is certain.
    """

    time: PositiveFloat = 100.0
    """Physical time from frame 0 to frame 1; a uniform state of Allen-Cahn relaxes as exp(-2 t)."""
    bound: PositiveFloat = 0.01
    """Largest |u_t| of a frame that counts as steady."""

    def problems(
        self, equation: Steady, initial: Float[Tensor, "batch 1 *grid"], grid: Grid, report: Report
    ) -> tuple[Float[Tensor, "block 2 1 *grid"], Int[Tensor, "block"]]:
        """Return the frames of the first problems of a block that come to rest, and their places in it.

        Raises:
            UserError: too many are not steady in the end.
        """
        times = torch.tensor([0.0, self.time], dtype=torch.float64)
        frames = solve(equation, initial, times, grid, progress=report)
        rate = equation.rate(frames[:, -1, 0], grid)
        steady = (rate.abs() < self.bound).flatten(1).all(1).nonzero()[:, 0]
        if len(steady) < BLOCK:
            raise UserError(
                f"data: only {len(steady)} of {len(frames)} problems have |u_t| < bound={self.bound:g} at "
                f"time={self.time:g}; raise data.rest.time or data.rest.bound"
            )
        return frames[steady[:BLOCK]], steady[:BLOCK]
