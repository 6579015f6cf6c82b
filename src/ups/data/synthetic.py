"""Trajectories from our own solvers: made on first use, cached by content, none depends on how many there are."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Len
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
from ups.data.boundaries import Boundaries, bounded
from ups.data.cache import cache_folder, cached
from ups.progress import Progress
from ups.solvers import initial
from ups.solvers.equation import Equation, Initial
from ups.solvers.equations import EQUATIONS
from ups.solvers.solve import solve
from ups.streams import stream
from ups.types import Axis, Field, Fields, Grid, Trajectory, UserError

GENERATOR = 1
"""Version of what the settings mean; counted up with every change of the numbers that come out."""

AXES = ("x", "y", "z")


def _alone(value: Any) -> Any:
    return (value,) if isinstance(value, float | int) else value


Values = Annotated[tuple[float, ...], BeforeValidator(_alone)]
Cells = Annotated[tuple[PositiveInt, ...], BeforeValidator(_alone), Len(1, len(AXES))]
Lengths = Annotated[tuple[PositiveFloat, ...], BeforeValidator(_alone)]


class Synthetic(Settings):
    """Solutions of one equation from random initial conditions, on a line, a plane or a box.

    What is left at null or empty takes the equation's own value (`solvers/equations/`).
    """

    kind: Literal["synthetic"] = "synthetic"
    equation: Literal[
        "burgers",
        "advection",
        "heat",
        "kuramoto_sivashinsky",
        "fisher_kpp",
        "allen_cahn",
        "korteweg_de_vries",
        "swift_hohenberg",
    ] = "burgers"
    """Which equation; Burgers has PDEBench's convention, diffusion nu/pi."""
    nu: Values = ()
    """Diffusion; each trajectory draws one of the values."""
    speed: Values = ()
    """Speed of advection."""
    rho: Values = ()
    """Rate of growth of Fisher-KPP."""
    r: Values = ()
    """Distance of Swift-Hohenberg from the onset of its patterns."""
    shared_initial: bool = False
    """Start every combination of the parameters from the same initial conditions, as PDEBench's files do."""
    initial: Initial | None = None
    """Law of the initial conditions: PDEBench's with its quirks (a line only), or clean sums of long waves."""
    extent: Lengths = ()
    """Length of the domain, which begins at 0; a list has one for each axis."""
    boundary: Boundaries = {"*": ("periodic", "periodic")}
    """What holds at the ends of the axes: periodic or wall; {x: periodic, y: wall}."""
    warmup: NonNegativeFloat | None = None
    """Physical time from the random initial condition to frame 0."""
    num_trajectories: PositiveInt = 400
    """The first n of an endless list: more of them keep those that there were."""
    num_frames: PositiveInt = 41
    """Frames of a trajectory, the initial one included."""
    dt: PositiveFloat | None = None
    """Physical time between two frames."""
    num_cells: Cells = (256,)
    """Cells that are kept, every n-th one of the solver's, as PDEBench's users do; a list makes a plane or a box."""
    solver_cells: Cells | None = None
    """Cells of the solver, a multiple of num_cells; between walls the same."""
    seed: NonNegativeInt = 0
    """Of initial conditions and parameters."""

    @model_validator(mode="after")
    def _fits(self) -> Synthetic:
        known = EQUATIONS[self.equation].data.params
        for name in ("nu", "speed", "rho", "r"):
            values = getattr(self, name)
            if values and name not in known:
                raise ValueError(
                    f"{self.equation} has no parameter {name} (it has {', '.join(known) or 'none'})"
                )
            if not all(math.isfinite(value) and (value >= 0 or name in ("speed", "r")) for value in values):
                raise ValueError(f"{name} must be finite and not negative")
        if len(self.extent) > 1 and len(self.extent) != len(self.num_cells):
            raise ValueError(f"extent has {len(self.extent)} lengths for {len(self.num_cells)} axes")
        if self.initial == "pdebench_like" and len(self.num_cells) > 1:
            raise ValueError("initial=pdebench_like is a law of lines; choose initial=clean")
        self._check_solver()
        return self

    def _check_solver(self) -> None:
        cells = self.solver_cells or self.num_cells
        if len(cells) != len(self.num_cells) or any(
            fine % kept for fine, kept in zip(cells, self.num_cells, strict=True)
        ):
            raise ValueError(
                f"solver_cells={_spell(cells)} is no multiple of num_cells={_spell(self.num_cells)}"
            )
        grid = self._grid(cells)
        if reason := EQUATIONS[self.equation].obstacle(grid):
            raise ValueError(f"equation={self.equation} {reason}")
        if not grid.is_periodic and cells != self.num_cells:
            raise ValueError("between walls every cell of the solver is kept: leave solver_cells out")

    @property
    def equation_class(self) -> type[Equation]:
        """The equation, for the classical solver."""
        return EQUATIONS[self.equation]

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
        default = EQUATIONS[self.equation].data
        chosen = {
            name: getattr(default, name) if getattr(self, name) is None else getattr(self, name)
            for name in ("warmup", "dt")
        }
        law = self.initial or (default.initial if len(self.num_cells) == 1 else "clean")
        return (
            self.model_dump(mode="json", exclude={"kind", "nu", "speed", "rho", "r"})
            | chosen
            | {
                "initial": law,
                "extent": self._grid(self.num_cells).extent,
                "solver_cells": self._solver_grid().shape,
                "params": {name: getattr(self, name) or values for name, values in default.params.items()},
                "generator": GENERATOR,
                "block": BLOCK,
            }
        )

    def _grid(self, cells: tuple[int, ...]) -> Grid:
        lengths = self.extent or (EQUATIONS[self.equation].data.extent,)
        lengths = lengths if len(lengths) == len(cells) else lengths * len(cells)
        axes = [Axis(*axis) for axis in zip(AXES, cells, lengths, strict=False)]
        return Grid(bounded(Path("data"), axes, self.boundary)[0])

    def _solver_grid(self) -> Grid:
        factor = EQUATIONS[self.equation].data.refinement
        return self._grid(self.solver_cells or tuple(factor * cells for cells in self.num_cells))

    def _fields(self) -> Fields:
        content, default = self._content(), EQUATIONS[self.equation].data
        solver = self._solver_grid()
        # Every n-th solver cell is kept: the samples are the centres of wider cells, shifted to the left.
        axes = tuple(
            replace(axis, cells=cells, origin=axis.extent * (0.5 / axis.cells - 0.5 / cells))
            for axis, cells in zip(solver.axes, self.num_cells, strict=True)
        )
        return Fields(
            each=(Field("u", conserved=default.is_conserved),),
            grid=Grid(axes),
            dt=content["dt"],
            params=tuple(default.params),
        )

    def _make(self, progress: Progress | None) -> dict[str, Tensor]:
        content = self._content()
        values = torch.empty(self.num_trajectories, self.num_frames, 1, *self.num_cells)
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
        solver = self._solver_grid()
        blocks = range(first, int(index[-1]) // BLOCK + 1)
        pool = torch.cat([self._initial(content["initial"], solver, b) for b in blocks])
        times = content["warmup"] + content["dt"] * torch.arange(self.num_frames, dtype=torch.float64)
        skipped = 1 if content["warmup"] else 0
        times = torch.cat([times.new_zeros(skipped), times])
        equation = self.equation_class(**dict(zip(names, chosen.unbind(1), strict=True)))
        try:
            frames = solve(equation, pool[index - first * BLOCK], times, solver, progress=report)
        except ValueError as error:
            raise UserError(f"data: {self.equation} with {content['params']}: {error}") from None
        kept = tuple(
            slice(None, None, fine // cells) for fine, cells in zip(solver.shape, self.num_cells, strict=True)
        )
        return frames[:, skipped:, :, *kept], chosen

    def _initial(self, law: Initial, grid: Grid, block: int) -> Tensor:
        """Return one block of initial conditions; those of Fisher-KPP are scaled to [0, 1], as PDEBench's are."""
        generator = stream(self.seed, "initial", block)
        if len(grid) > 1 or not grid.is_periodic:
            frames = initial.waves(BLOCK, grid, generator)
        elif law == "clean":
            frames = initial.clean(BLOCK, *grid.shape, *grid.extent, generator)
        else:
            frames = initial.pdebench_like(BLOCK, *grid.shape, *grid.extent, generator)
        if EQUATIONS[self.equation].data.unit_range:
            space = tuple(range(2, frames.ndim))
            low, high = frames.amin(space, keepdim=True), frames.amax(space, keepdim=True)
            frames = (frames - low) / (high - low)
        return frames


def _spell(cells: tuple[int, ...]) -> str:
    return str(cells[0]) if len(cells) == 1 else str(list(cells))
