"""Trajectories from our own solvers: made on first use, cached by content, none depends on how many there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BeforeValidator,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import Tensor

from ups.config import Settings, digest
from ups.data.blocks import BLOCK, Report, fill
from ups.data.cache import cache_folder, cached
from ups.data.equations import EQUATIONS, Initial
from ups.progress import Progress
from ups.solvers import initial
from ups.solvers.equations import Equation
from ups.solvers.solve import solve
from ups.streams import stream
from ups.types import Field, Fields, Trajectory, UserError, line

GENERATOR = 1
"""Version of what the settings mean; counted up with every change of the numbers that come out."""

Values = Annotated[
    tuple[float, ...], BeforeValidator(lambda value: (value,) if isinstance(value, float | int) else value)
]


class Synthetic(Settings):
    """Solutions of one equation on a periodic line from random initial conditions.

    What is left at null or empty takes the equation's own value (`data/equations.py`).
    """

    kind: Literal["synthetic"] = "synthetic"
    equation: Literal["burgers", "advection", "heat", "kuramoto_sivashinsky", "fisher_kpp"] = "burgers"
    """Which equation; Burgers has PDEBench's convention, diffusion nu/pi."""
    nu: Values = ()
    """Diffusion; each trajectory draws one of the values."""
    speed: Values = ()
    """Speed of advection."""
    rho: Values = ()
    """Rate of growth of Fisher-KPP."""
    shared_initial: bool = False
    """Start every combination of the parameters from the same initial conditions, as PDEBench's files do."""
    initial: Initial | None = None
    """Law of the initial conditions: PDEBench's with its quirks, or exactly periodic sums of four waves."""
    extent: PositiveFloat | None = None
    """Length of the domain, which begins at 0."""
    warmup: NonNegativeFloat | None = None
    """Physical time from the random initial condition to frame 0."""
    num_trajectories: PositiveInt = 400
    """The first n of an endless list: more of them keep those that there were."""
    num_frames: PositiveInt = 41
    """Frames of a trajectory, the initial one included."""
    dt: PositiveFloat | None = None
    """Physical time between two frames."""
    num_cells: PositiveInt = 256
    """Cells that are kept, every n-th one of the solver's, as PDEBench's users do."""
    solver_cells: PositiveInt | None = None
    """Cells of the solver, a multiple of num_cells."""
    seed: NonNegativeInt = 0
    """Of initial conditions and parameters."""

    @model_validator(mode="after")
    def _fits(self) -> Synthetic:
        known = EQUATIONS[self.equation].params
        for name in ("nu", "speed", "rho"):
            values = getattr(self, name)
            if values and name not in known:
                raise ValueError(
                    f"{self.equation} has no parameter {name} (it has {', '.join(known) or 'none'})"
                )
            if not all(math.isfinite(value) and (value >= 0 or name == "speed") for value in values):
                raise ValueError(f"{name} must be finite and not negative")
        if self.solver_cells is not None and self.solver_cells % self.num_cells:
            raise ValueError(f"solver_cells={self.solver_cells} is no multiple of num_cells={self.num_cells}")
        return self

    @property
    def equation_class(self) -> Callable[..., Equation]:
        """The equation, for the classical solver."""
        return EQUATIONS[self.equation].kind

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Trajectory:
        """Return the trajectories, from the cache if they were made before and are unharmed.

        Raises:
            UserError: the solution is not finite, which the parameters or the grid are to blame for.
        """
        name = f"{self.equation}-{digest(self._content())}.safetensors"
        found = cached(cache_folder(cache_dir) / "synthetic" / name, lambda: self._make(progress))
        return Trajectory(found["values"], found["params"], self._fields())

    def _content(self) -> dict[str, Any]:
        """Return every choice that the values depend on, defaults filled in."""
        default = EQUATIONS[self.equation]
        chosen = {
            name: getattr(default, name) if getattr(self, name) is None else getattr(self, name)
            for name in ("initial", "extent", "warmup", "dt")
        }
        return (
            self.model_dump(mode="json", exclude={"kind", "nu", "speed", "rho"})
            | chosen
            | {
                "solver_cells": self.solver_cells or default.refinement * self.num_cells,
                "params": {name: getattr(self, name) or values for name, values in default.params.items()},
                "generator": GENERATOR,
                "block": BLOCK,
            }
        )

    def _fields(self) -> Fields:
        content, default = self._content(), EQUATIONS[self.equation]
        # Every n-th solver cell is kept: the samples are the centres of wider cells, shifted to the left.
        left = content["extent"] * (0.5 / content["solver_cells"] - 0.5 / self.num_cells)
        conserved = bool(default.conserved)
        return Fields(
            each=(Field("u", conserved=conserved),),
            grid=line(self.num_cells, content["extent"], left),
            dt=content["dt"],
            params=tuple(default.params),
        )

    def _make(self, progress: Progress | None) -> dict[str, Tensor]:
        content = self._content()
        values = torch.empty(self.num_trajectories, self.num_frames, 1, self.num_cells)
        params = torch.empty(self.num_trajectories, len(content["params"]))

        def make(block: int, report: Report) -> tuple[Tensor, Tensor]:
            return self._block(content, block, report)

        return fill(values, params, make, progress, f"solving {self.equation}")

    def _block(self, content: dict[str, Any], block: int, report: Report) -> tuple[Tensor, Tensor]:
        """Return the frames and parameters of one whole block."""
        names = list(content["params"])
        combinations = torch.tensor(list(product(*content["params"].values())), dtype=torch.float64)
        index = block * BLOCK + torch.arange(BLOCK)
        if self.shared_initial:
            chosen = combinations[index % len(combinations)]
            index = index // len(combinations)
        else:
            draw = torch.randint(len(combinations), (BLOCK,), generator=stream(self.seed, "params", block))
            chosen = combinations[draw]
        first = int(index[0]) // BLOCK
        pool = torch.cat([self._initial(content, b) for b in range(first, int(index[-1]) // BLOCK + 1)])
        times = content["warmup"] + content["dt"] * torch.arange(self.num_frames, dtype=torch.float64)
        skipped = 1 if content["warmup"] else 0
        times = torch.cat([times.new_zeros(skipped), times])
        equation = self.equation_class(**dict(zip(names, chosen.unbind(1), strict=True)))
        try:
            frames = solve(equation, pool[index - first * BLOCK], times, content["extent"], progress=report)
        except ValueError as error:
            raise UserError(f"data: {self.equation} with {content['params']}: {error}") from None
        stride = content["solver_cells"] // self.num_cells
        return frames[:, skipped:, :, ::stride], chosen

    def _initial(self, content: dict[str, Any], block: int) -> Tensor:
        """Return one block of initial conditions; those of Fisher-KPP are scaled to [0, 1], as PDEBench's are."""
        law = initial.clean if content["initial"] == "clean" else initial.pdebench_like
        frames = law(BLOCK, content["solver_cells"], content["extent"], stream(self.seed, "initial", block))
        if self.equation == "fisher_kpp":
            low, high = frames.amin(-1, keepdim=True), frames.amax(-1, keepdim=True)
            frames = (frames - low) / (high - low)
        return frames
