"""Steady problems: where does an evolution end? Two frames, the one it starts from and the one it comes to rest in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from torch import Tensor

from ups.config import Settings, digest
from ups.data.blocks import BLOCK, Report, fill
from ups.data.cache import cache_folder, cached
from ups.data.synthetic import Values
from ups.progress import Progress
from ups.solvers.equations import AllenCahn
from ups.solvers.initial import clean
from ups.solvers.solve import solve
from ups.streams import stream
from ups.types import Field, Fields, Trajectory, UserError, line

GENERATOR = 1
"""Version of what the settings mean; counted up with every change of the numbers that come out."""

EXTENT = 1.0

SPARE = 8
"""Problems of a block that may be left out since they have not come to rest."""


class Steady(Settings):
    """Allen-Cahn's equation on a periodic line of length 1, from random waves to rest.

    Frame 0 is a sum of four random waves and a random offset, frame 1 the solution `time` later, which is `fields.dt`.
    It is steady: |u_t| is below `bound` everywhere, and problems of which this does not hold by then (with the
    defaults about one in a hundred) are left out. Given nu alone the end is one of many: -1, 1, or fronts at places
    that no one can know, the fewer the larger nu is; their mean is none of them. Given frame 0 it is certain.
    """

    kind: Literal["steady"] = "steady"
    nu: Values = (0.002, 0.004, 0.01)
    """Diffusion; each problem draws one of the values. A front is sqrt(2 nu) wide and needs some four cells."""
    offset: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    """Largest size of the initial frame's mean."""
    time: PositiveFloat = 100.0
    """Physical time from frame 0 to frame 1, in units in which a uniform state relaxes as exp(-2 t)."""
    bound: PositiveFloat = 0.01
    """Largest |u_t| of a frame that counts as steady."""
    num_trajectories: PositiveInt = 400
    """The first n of an endless list: more of them keep those that there were."""
    num_cells: PositiveInt = 64
    """Cells, of the solver and of the data alike."""
    seed: NonNegativeInt = 0
    """Of initial frames and parameters."""

    @field_validator("nu")
    @classmethod
    def _positive(cls, nu: tuple[float, ...]) -> tuple[float, ...]:
        if not nu or not all(0 < value < math.inf for value in nu):
            raise ValueError("give one or more positive numbers")
        return nu

    @property
    def equation_class(self) -> None:
        """None: a solver that marches to rest from frame 0 made the truth, and is no rung to compare a guess with."""
        return None

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Trajectory:
        """Return the problems, from the cache if they were made before and are unharmed.

        Raises:
            UserError: too many problems are not steady in the end.
        """
        content = self.model_dump(mode="json") | {"generator": GENERATOR, "block": BLOCK, "spare": SPARE}
        path = cache_folder(cache_dir) / "steady" / f"allen_cahn-{digest(content)}.safetensors"
        found = cached(path, lambda: self._make(progress))
        fields = Fields((Field("u"),), line(self.num_cells, EXTENT), dt=self.time, params=("nu",))
        return Trajectory(found["values"], found["params"], fields)

    def _make(self, progress: Progress | None) -> dict[str, Tensor]:
        values = torch.empty(self.num_trajectories, 2, 1, self.num_cells)
        params = torch.empty(self.num_trajectories, 1)
        return fill(values, params, self._block, progress, "solving allen-cahn")

    def _block(self, block: int, report: Report) -> tuple[Tensor, Tensor]:
        """Return the frames and parameters of the first problems of a block that come to rest."""
        num = BLOCK + SPARE
        generator = stream(self.seed, "initial", block)
        waves = clean(num, self.num_cells, EXTENT, generator)
        level = torch.rand((num, 1, 1), generator=generator, dtype=torch.float64)
        chosen = torch.randint(len(self.nu), (num,), generator=stream(self.seed, "params", block))
        nu = torch.tensor(self.nu, dtype=torch.float64)[chosen]
        equation = AllenCahn(nu)
        times = torch.tensor([0.0, self.time], dtype=torch.float64)
        frames = solve(equation, waves + self.offset * (2 * level - 1), times, EXTENT, progress=report)
        rate = equation.rate(frames[:, -1, 0], line(self.num_cells, EXTENT))
        steady = (rate.abs() < self.bound).all(1).nonzero()[:, 0]
        if len(steady) < BLOCK:
            raise UserError(
                f"data: only {len(steady)} of {num} problems have |u_t| < bound={self.bound:g} at time={self.time:g}; "
                "raise data.time or data.bound"
            )
        kept = steady[:BLOCK]
        return frames[kept], nu[kept, None]
