"""Trajectories from our own solvers: equation x forcing x horizon, made on first use and cached by content."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, cast

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

from ups import memory
from ups.config import Settings, digest
from ups.data.blocks import BLOCK, Report, fill
from ups.data.boundaries import Boundaries, bounded
from ups.data.cache import cache_folder, cached
from ups.data.rest import SPARE, Rest
from ups.data.truth_error import affordable, truth_error
from ups.progress import Progress
from ups.solvers import initial
from ups.solvers.equation import Equation, Initial, Steady
from ups.solvers.equations import EQUATIONS
from ups.solvers.kicks import Kicked, Kicks
from ups.solvers.resampling import on_grid
from ups.solvers.solve import solve
from ups.solvers.stepper import Coarse
from ups.streams import stream
from ups.types import Axis, Fields, Grid, Trajectory, UserError

GENERATOR = 1
"""Version of what the settings mean; counted up with every change of the numbers that come out."""

AXES = ("x", "y", "z")


def _alone(value: Any) -> Any:
    return (value,) if isinstance(value, float | int | str) else value  # YAML takes 1e-3 for a word


Values = Annotated[tuple[float, ...], BeforeValidator(_alone)]
Cells = Annotated[tuple[PositiveInt, ...], BeforeValidator(_alone), Len(1, len(AXES))]
Lengths = Annotated[tuple[PositiveFloat, ...], BeforeValidator(_alone)]

PARAMETERS = ("nu", "speed", "rho", "r", "strength", "feed", "kill")
SIGNED = ("speed", "r")
"""Parameters that may be negative."""

NUM_FIELDS = {"seeds": 2, "pdebench_noise": 2}
"""Fields of the laws of initial conditions that are not of one field."""

SEEDS_APART = 1_000_000
"""White noise of seed s begins at PDEBench's seed 1,000,000 s."""

WORKING = 8
"""States of a block, about, that an integrator holds beside its frames."""


class Simulated(Settings):
    """Solutions of one equation from random initial conditions, on a line, a plane or a box.

    What is left at null or empty takes the equation's own value (`solvers/equations/`).
    """

    kind: Literal["simulated"] = "simulated"
    equation: Literal[
        "burgers",
        "advection",
        "heat",
        "kuramoto_sivashinsky",
        "fisher_kpp",
        "allen_cahn",
        "korteweg_de_vries",
        "swift_hohenberg",
        "vorticity",
        "gray_scott",
        "fitzhugh_nagumo",
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
    strength: Values = ()
    """Of the fixed forcing that stirs a vorticity; 0 lets it decay."""
    feed: Values = ()
    """Rate at which Gray-Scott's first substance is fed."""
    kill: Values = ()
    """Rate at which Gray-Scott's second substance is removed, beyond that of feeding."""
    between: bool = False
    """Draw parameters uniformly between the least and the greatest of their values, not among them."""
    shared_initial: bool = False
    """Start every combination of the parameters from the same initial conditions, as PDEBench's files do."""
    initial: Initial | None = None
    """Law of the initial conditions: PDEBench's with its quirks (a line only), clean sums of long waves, FNO's Gaussian
    fields, PDEBench's white noise (row k is its seed k), or the seeds of Gray-Scott's patterns."""
    offset: NonNegativeFloat = 0.0
    """Largest size of the random mean that is added to an initial condition."""
    forcing: Kicks | None = None
    """Random kicks at the start of every frame, which no one but the data knows; null leaves them out."""
    rest: Rest | None = None
    """Two frames, the initial one and the steady state that it ends in; null keeps the frames on the way."""
    extent: Lengths = ()
    """Length of the domain, which begins at 0; a list has one for each axis."""
    boundary: Boundaries = {"*": ("periodic", "periodic")}
    """What holds at the ends of the axes: periodic or wall; {x: periodic, y: wall}."""
    warmup: NonNegativeFloat | None = None
    """Physical time from the random initial condition to frame 0."""
    num_trajectories: PositiveInt = 400
    """The first n of an endless list: more of them keep those that there were."""
    num_frames: PositiveInt | None = None
    """Frames of a trajectory, the initial one included; 41, or the two of a steady problem."""
    dt: PositiveFloat | None = None
    """Physical time between two frames."""
    num_cells: Cells = (256,)
    """Cells that are kept, every n-th one of the solver's, as PDEBench's users do; a list makes a plane or a box."""
    solver_cells: Cells | None = None
    """Cells of the solver, a multiple of num_cells; between walls and under a forcing the same."""
    seed: NonNegativeInt = 0
    """Of initial conditions, parameters and forcing."""

    @model_validator(mode="after")
    def _fits(self) -> Simulated:
        default = EQUATIONS[self.equation].data
        for name in PARAMETERS:
            values = getattr(self, name)
            if values and name not in default.params:
                raise ValueError(
                    f"{self.equation} has no parameter {name} (it has {', '.join(default.params) or 'none'})"
                )
            if not all(math.isfinite(value) and (value >= 0 or name in SIGNED) for value in values):
                raise ValueError(f"{name} must be finite and not negative")
        if len(self.extent) > 1 and len(self.extent) != len(self.num_cells):
            raise ValueError(f"extent has {len(self.extent)} lengths for {len(self.num_cells)} axes")
        if self.initial == "pdebench_like" and len(self.num_cells) > 1:
            raise ValueError("initial=pdebench_like is a law of lines; choose initial=clean")
        if self.initial and (self.initial == "pdebench_noise") != (default.initial == "pdebench_noise"):
            raise ValueError(f"initial={self.initial} does not start {self.equation}; leave initial out")
        if self.initial and NUM_FIELDS.get(self.initial, 1) != len(default.fields):
            raise ValueError(
                f"{self.equation} is of {len(default.fields)} fields and initial={self.initial} of "
                f"{NUM_FIELDS.get(self.initial, 1)}; leave initial out"
            )
        if self.shared_initial and self.between:
            raise ValueError("shared_initial has each of the values in turn: leave between out")
        if self.offset and (default.unit_range or len(default.fields) > 1):
            raise ValueError(f"frame 0 of {self.equation} has a range of its own: leave offset at 0")
        self._check_solver()
        self._check_horizon()
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
        if not grid.is_periodic and cells != self.num_cells and not self._keeps_averages:
            raise ValueError("between walls every cell of the solver is kept: leave solver_cells out")
        if self.forcing:
            if cells != self.num_cells:
                raise ValueError("under a forcing a frame is the whole state: leave solver_cells out")
            if reason := self.forcing.obstacle(EQUATIONS[self.equation], grid):
                raise ValueError(f"forcing: {reason}")

    def _check_horizon(self) -> None:
        if self.rest is None:
            return
        if self.forcing:
            raise ValueError("what is kicked does not come to rest: give rest or forcing")
        if self.num_frames is not None or self.dt is not None or self.shared_initial:
            raise ValueError(
                "rest has two frames, rest.time apart, and leaves problems out: "
                "leave num_frames, dt and shared_initial out"
            )
        if not issubclass(EQUATIONS[self.equation], Steady):
            known = [name for name, equation in EQUATIONS.items() if issubclass(equation, Steady)]
            raise ValueError(
                f"rest: {self.equation} has no steady states to find (valid: {', '.join(known)})"
            )

    @property
    def _keeps_averages(self) -> bool:
        """Whether a frame is the averages over the solver's cells; every n-th of these is kept where it is not."""
        return EQUATIONS[self.equation].data.initial == "pdebench_noise"

    @property
    def equation_class(self) -> type[Equation] | None:
        """The equation, for a classical solver that knows nothing of a forcing.

        None where trajectories come to rest: a solver that marches there from frame 0 made the truth, and is no rung
        to compare a guess with.
        """
        return None if self.rest else EQUATIONS[self.equation]

    def perfect(self) -> Kicked:
        """Return the stepper that made the data of a forcing; with another generator it is their perfect ensemble.

        Its forecast is the true conditional distribution: a frame is the whole state, and the law that of the solver
        on this very grid. No rung can have a better expected score.

        Raises:
            ValueError: there is no forcing.
        """
        if self.forcing is None:
            raise ValueError("without a forcing there is one future, and no ensemble of them")
        return Kicked(Coarse(EQUATIONS[self.equation], self._fields(), self.num_cells[0]), self.forcing)

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Trajectory:
        """Return the trajectories, from the cache if they were made before and are unharmed.

        Raises:
            UserError: the solution is not finite, which the parameters or the grid are to blame for; or too many
                problems do not come to rest.
        """
        name = f"{self.equation}-{digest(self._content())}.safetensors"
        found = cached(cache_folder(cache_dir) / "simulated" / name, lambda: self._make(progress))
        return Trajectory(found["values"], found["params"], self._fields())

    def truth_floor(self) -> float | None:
        """Return how far the data are from the solution: nRMSE off the same on three times the solver's cells an axis.

        The mean over all frames but the initial one of some trajectories (`affordable`). None under a forcing, where
        the solver on this grid is the law, for steady problems, from white noise on the cells, which is another problem
        on finer ones, and where the finer solution fails.
        """
        if self.forcing or self.rest or self._keeps_averages:
            return None
        content, solver = self._content(), self._solver_grid()
        checked, frames = affordable(self.num_trajectories, content["num_frames"], solver)
        first, params = (part[:checked] for part in self._start(content, 0))
        equation = self._equation(params)
        times = content["dt"] * torch.arange(frames, dtype=torch.float64)
        if content["warmup"]:
            first = solve(equation, first, times.new_tensor([0, content["warmup"]]), solver)[:, -1]
        of_averages = EQUATIONS[self.equation].data.cells_hold == "averages"
        return truth_error(equation, first, times, solver, of_averages)

    def _equation(self, params: Tensor) -> Equation:
        names = EQUATIONS[self.equation].data.params
        return EQUATIONS[self.equation](**dict(zip(names, params.unbind(1), strict=True)))

    def _content(self) -> dict[str, Any]:
        """Return every choice that the values depend on, defaults filled in."""
        default = EQUATIONS[self.equation].data
        warmup = default.warmup if self.warmup is None else self.warmup
        law = self.initial or default.initial
        if law == "pdebench_like" and len(self.num_cells) > 1:
            law = "clean"
        return self.model_dump(mode="json", exclude={"kind", *PARAMETERS}) | {
            "warmup": warmup,
            "dt": self.rest.time if self.rest else self.dt or default.dt,
            "num_frames": 2 if self.rest else self.num_frames or 41,
            "initial": law,
            "extent": self._grid(self.num_cells).extent,
            "solver_cells": self._solver_grid().shape,
            "params": {name: getattr(self, name) or values for name, values in default.params.items()},
            "generator": GENERATOR,
            "block": BLOCK,
            "spare": SPARE,
        }

    def _grid(self, cells: tuple[int, ...]) -> Grid:
        lengths = self.extent or (EQUATIONS[self.equation].data.extent,)
        lengths = lengths if len(lengths) == len(cells) else lengths * len(cells)
        axes = [Axis(*axis) for axis in zip(AXES, cells, lengths, strict=False)]
        return Grid(bounded(Path("data"), axes, self.boundary)[0])

    def _solver_grid(self) -> Grid:
        factor = 1 if self.forcing else EQUATIONS[self.equation].data.refinement
        return self._grid(self.solver_cells or tuple(factor * cells for cells in self.num_cells))

    def _fields(self) -> Fields:
        default, solver = EQUATIONS[self.equation].data, self._solver_grid()
        # Every n-th solver cell is kept: the samples are the centres of wider cells, shifted to the left.
        shift = 0.0 if self._keeps_averages else 0.5
        axes = tuple(
            replace(axis, cells=cells, origin=axis.extent * shift * (1 / axis.cells - 1 / cells))
            for axis, cells in zip(solver.axes, self.num_cells, strict=True)
        )
        keeps_mean = self.forcing is None or self.forcing.balanced
        return Fields(
            each=tuple(replace(each, conserved=each.conserved and keeps_mean) for each in default.fields),
            grid=Grid(axes),
            dt=self._content()["dt"],
            params=tuple(default.params),
        )

    def _make(self, progress: Progress | None) -> dict[str, Tensor]:
        content = self._content()
        frames, num_fields = content["num_frames"], len(EQUATIONS[self.equation].data.fields)
        cells = num_fields * math.prod(self.num_cells)
        block = 8 * BLOCK * (frames + WORKING) * num_fields * math.prod(content["solver_cells"])
        memory.require(
            4.0 * self.num_trajectories * frames * cells + block,
            f"data: {self.num_trajectories} trajectories of {frames} frames on {_spell(self.num_cells)} cells",
            "fewer of them",
        )
        values = torch.empty(self.num_trajectories, content["num_frames"], num_fields, *self.num_cells)
        params = torch.empty(self.num_trajectories, len(content["params"]))

        def make(block: int, report: Report) -> tuple[Tensor, Tensor]:
            try:
                return self._block(content, block, report)
            except ValueError as error:
                raise UserError(f"data: {self.equation} with {content['params']}: {error}") from None

        return fill(values, params, make, progress, f"solving {self.equation}")

    def _block(self, content: dict[str, Any], block: int, report: Report) -> tuple[Tensor, Tensor]:
        """Return the frames and parameters of one whole block."""
        first, params = self._start(content, block)
        equation, solver, warmup = self._equation(params), self._solver_grid(), content["warmup"]
        if self.rest:
            frames, places = self.rest.problems(cast(Steady, equation), first, solver, report)
            return self._kept(frames), params[places]
        times = warmup + content["dt"] * torch.arange(content["num_frames"], dtype=torch.float64)
        skipped = 1 if warmup else 0
        times = torch.cat([times.new_zeros(skipped), times])
        if self.forcing:
            if warmup:
                first = solve(equation, first, times[:2], solver)[:, -1]
            return self._kicked(first, params, content["num_frames"], block, report), params
        return self._kept(solve(equation, first, times, solver, progress=report)[:, skipped:]), params

    def _kept(self, frames: Tensor) -> Tensor:
        """Return what is kept of frames on the solver's grid."""
        solver = self._solver_grid()
        if self._keeps_averages:
            return on_grid(frames, solver, self._grid(self.num_cells))
        strides = (fine // cells for fine, cells in zip(solver.shape, self.num_cells, strict=True))
        return frames[(..., *(slice(None, None, stride) for stride in strides))]

    def _start(self, content: dict[str, Any], block: int) -> tuple[Tensor, Tensor]:
        """Return the initial frames, on the solver's grid, and the parameters of one block; of rest, some spare."""
        values = list(content["params"].values())
        combinations = torch.tensor(list(product(*values)), dtype=torch.float64)
        num, solver = BLOCK + (SPARE if self.rest else 0), self._solver_grid()

        def start(block: int) -> Tensor:
            if content["initial"] == "pdebench_noise":
                row = self.seed * SEEDS_APART + block * num
                return initial.pdebench_noise(range(row, row + num), self._grid(self.num_cells), solver)
            generator, scaled = stream(self.seed, "initial", block), EQUATIONS[self.equation].data.unit_range
            return initial.start(content["initial"], num, solver, generator, self.offset, scaled)

        if not self.shared_initial:
            generator = stream(self.seed, "params", block)
            if self.between:
                low, high = combinations.amin(0), combinations.amax(0)
                share = torch.rand(num, len(values), generator=generator, dtype=torch.float64)
                return start(block), low + (high - low) * share
            return start(block), combinations[torch.randint(len(combinations), (num,), generator=generator)]
        index = block * BLOCK + torch.arange(BLOCK)
        chosen, index = combinations[index % len(combinations)], index // len(combinations)
        first = int(index[0]) // BLOCK
        pool = torch.cat([start(b) for b in range(first, int(index[-1]) // BLOCK + 1)])
        return pool[index - first * BLOCK], chosen

    def _kicked(self, first: Tensor, params: Tensor, num_frames: int, block: int, report: Report) -> Tensor:
        """Return the frames of one block that is kicked at the start of every frame."""
        stepper, generator = self.perfect(), stream(self.seed, "kicks", block)
        state = stepper.encode(first[:, None], params.float())
        frames = [stepper.decode(state)]
        for frame in range(1, num_frames):
            state = stepper.advance(state, generator)
            frames.append(stepper.decode(state))
            report(frame / (num_frames - 1))
        return torch.stack(frames, 1)


def _spell(cells: tuple[int, ...]) -> str:
    return str(cells[0]) if len(cells) == 1 else str(list(cells))
