"""Burgers' equation under random kicks: data whose perfect ensemble is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pydantic
import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from ups.config import Settings, digest
from ups.data.blocks import BLOCK, Report, fill
from ups.data.cache import cache_folder, cached
from ups.progress import Progress
from ups.solvers import initial, kicks
from ups.solvers.equation import Equation, Initial
from ups.solvers.equations import Burgers
from ups.solvers.stepper import Coarse
from ups.streams import stream
from ups.types import Field, Fields, Trajectory, line

GENERATOR = 1
"""Version of what the settings mean; counted up with every change of the numbers that come out."""

EXTENT = 1.0

Size = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Width = Annotated[float, pydantic.Field(gt=0, le=EXTENT / 8)]


class Kicked(Settings):
    """Solutions of Burgers' equation on a periodic line of length 1, kicked once at the start of every frame.

    Frame 0 is the initial condition; frame k + 1 is the equation solved for `dt` from frame k plus a kick of random
    place, width, sign and size (`solvers/kicks.py`), which no one but the data knows. The values are the averages
    over all cells of the solver: nothing is strided away, so a frame is the whole state, and the law is that of
    the solver on this very grid. The forecast of `perfect` is therefore the true conditional distribution, and
    no rung can have a better expected score. The kicks change the mean, hence no field is conserved.
    """

    kind: Literal["kicked"] = "kicked"
    nu: Size = 0.01
    """Diffusion nu/pi, PDEBench's convention."""
    size: tuple[Size, Size] = (0.3, 0.8)
    """Bounds of the height of a kick."""
    width: tuple[Width, Width] = (0.02, 0.06)
    """Bounds of the standard deviation of a kick, at most an eighth of the line."""
    initial: Initial = "pdebench_like"
    """Law of the initial conditions: PDEBench's with its quirks, or exactly periodic sums of four waves."""
    num_trajectories: PositiveInt = 400
    """The first n of an endless list: more of them keep those that there were."""
    num_frames: PositiveInt = 41
    """Frames of a trajectory, the initial one included; more of them continue those that there were."""
    dt: PositiveFloat = 0.05
    """Physical time between two frames, and between two kicks."""
    num_cells: PositiveInt = 256
    """Cells, of the solver and of the data alike."""
    seed: NonNegativeInt = 0
    """Of initial conditions and kicks."""

    @model_validator(mode="after")
    def _rises(self) -> Kicked:
        for name in ("size", "width"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}=[{low:g}, {high:g}]: give the lower bound first")
        return self

    @property
    def equation(self) -> str:
        """The name of the equation between two kicks."""
        return "burgers"

    @property
    def equation_class(self) -> type[Equation]:
        """The equation between two kicks, for a classical solver that knows nothing of them."""
        return Burgers

    def perfect(self) -> kicks.Kicked:
        """Return the stepper that made the data; with another generator it is their perfect ensemble."""
        solver = Coarse(Burgers, self._fields(), self.num_cells)
        return kicks.Kicked(solver, kicks.Kicks(self.size, self.width))

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Trajectory:
        """Return the trajectories, from the cache if they were made before and are unharmed."""
        content = self.model_dump(mode="json") | {"generator": GENERATOR, "block": BLOCK}
        path = cache_folder(cache_dir) / "kicked" / f"burgers-{digest(content)}.safetensors"
        found = cached(path, lambda: self._make(progress))
        return Trajectory(found["values"], found["params"], self._fields())

    def _fields(self) -> Fields:
        return Fields((Field("u"),), line(self.num_cells, EXTENT), self.dt, params=("nu",))

    def _make(self, progress: Progress | None) -> dict[str, Tensor]:
        values = torch.empty(self.num_trajectories, self.num_frames, 1, self.num_cells)
        params = torch.empty(self.num_trajectories, 1)
        return fill(values, params, self._block, progress, "solving kicked burgers")

    def _block(self, block: int, report: Report) -> tuple[Tensor, Tensor]:
        """Return the frames and parameters of one whole block."""
        law = initial.clean if self.initial == "clean" else initial.pdebench_like
        first = law(BLOCK, self.num_cells, EXTENT, stream(self.seed, "initial", block))
        params = torch.full((BLOCK, 1), self.nu)
        generator = stream(self.seed, "kicks", block)
        stepper = self.perfect()
        state = stepper.encode(first[:, None], params)
        frames = [stepper.decode(state)]
        for frame in range(1, self.num_frames):
            state = stepper.advance(state, generator)
            frames.append(stepper.decode(state))
            report(frame / (self.num_frames - 1))
        return torch.stack(frames, 1), params
