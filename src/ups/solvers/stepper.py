"""A classical solver as a stepper: the rung of the ladder that an emulator has to justify itself against."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.checkpoint import Manifest
from ups.solvers.equation import Equation, fields_of
from ups.solvers.equations import EQUATIONS
from ups.solvers.resampling import along_axes, averages_of, on_grid, points_of, resample
from ups.types import Fields, UserError

GAIN = 0.3
"""Share of the difference by which each later frame of a context pulls a state that came from an earlier one; of .1 to
.8, on two solvers' data, the largest that costs nothing behind a good first frame (`benchmarks/contexts.py`)."""


class CoarseManifest(Manifest):
    """From what a solver on a grid was built."""

    kind: Literal["solver"] = "solver"
    equation: str
    """The name of its class."""
    fields: Fields
    """The data that it reads and writes."""
    num_cells: int
    """Of the solver, along the first axis."""
    samples_are_points: bool
    """Whether the data are samples, or averages over cells."""

    def build(self) -> Coarse:
        """Return the solver.

        Raises:
            UserError: there is no such equation.
        """
        known = {kind.__name__: kind for kind in EQUATIONS.values()}
        if self.equation not in known:
            raise UserError(f"solver: no equation '{self.equation}'")
        return Coarse(known[self.equation], self.fields, self.num_cells, self.samples_are_points)


class CoarseState(NamedTuple):
    """Cell averages on the solver's grid, and the parameters of the equation."""

    averages: Float[Tensor, "batch field *grid"]
    params: Float[Tensor, "batch param"]


class Coarse:
    """Solves the equation on `num_cells` cells along the first axis, fewer or more than the data have.

    The other axes have cells in proportion.

    A context frame is taken as averages over equal cells around its samples, resampled, advanced by
    `fields.dt` a step, and resampled to the native grid when it is decoded; the mean is kept to round-off. Data
    that are strided out of a finer grid, as PDEBench's usually are, are point values instead: say so by
    `samples_are_points`, and a solver on a finer grid than the data's reads and writes points, at fourth order;
    the mean of the decoded points then varies as that of the data does. (A coarser grid cannot tell the two
    apart.) Such a solver also starts from an earlier frame of the context, at most the tenth from its end, and
    advances to the last, each frame on the way pulling it by the share `GAIN` of what differs: where fronts are
    thinner than a cell of the data, an earlier and smoother frame tells more of them than the last. Other grids start
    from the last frame. The solver works on the CPU in float64.

    Raises:
        UserError: the data have not the equation's number of fields, live on a grid that it cannot be solved on, or
            lack a parameter.
    """

    num_context = 1

    def __init__(
        self,
        equation_class: type[Equation],
        fields: Fields,
        num_cells: int,
        samples_are_points: bool = False,
    ) -> None:
        name = equation_class.__name__
        if len(fields) != len(fields_of(equation_class)):
            needed = ", ".join(field.name for field in fields_of(equation_class))
            raise UserError(
                f"coarse solver {name}: is of {needed}, the data have {fields.names}; choose other data or no solver"
            )
        if reason := equation_class.obstacle(fields.grid):
            raise UserError(f"coarse solver {name}: {reason}")
        self.parameters = tuple(inspect.signature(equation_class).parameters)
        missing = sorted(set(self.parameters) - set(fields.params))
        if missing:
            raise UserError(
                f"coarse solver {name}: the data carry the parameters {fields.params} and lack {missing}; "
                "name them in the data's fields or choose another equation"
            )
        self.equation_class, self.name = equation_class, name
        self.samples_are_points = samples_are_points
        self.fields = fields
        self.conserved = torch.tensor([field.conserved for field in fields.each], dtype=torch.float64)
        self.num_cells = num_cells
        native = fields.grid.shape
        self.grid = fields.grid.resized(*(max(1, round(num_cells * cells / native[0])) for cells in native))
        self.reads_points = samples_are_points and num_cells > native[0]
        self.frames_read = 10 if self.reads_points else 1
        self._prepared: tuple[Tensor, Callable[[Tensor], Tensor]] | None = None

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
    ) -> CoarseState:
        """Return the solver's state at the last context frame."""
        first, *later = context[:, -self.frames_read :].double().unbind(1)
        state = CoarseState(self._averages(first), params)
        for frame in later:
            state = self.advance(state)
            differs = self._averages(frame - self._frame(state.averages))
            # samples of fronts tell an integral worse than the first frame did
            means = differs.flatten(2).mean(2) * self.conserved.to(differs)
            differs = differs - means[(..., *(None,) * len(self.grid))]
            state = state._replace(averages=state.averages + GAIN * differs)
        return state

    def advance(self, state: CoarseState, generator: Generator | None = None) -> CoarseState:
        """Return the state `fields.dt` later."""
        propagate = self._propagator(state.params.double().cpu())
        averages = propagate(torch.stack(state.averages.cpu().unbind(1)))
        return CoarseState(torch.stack(averages.unbind(0), 1).to(state.averages.device), state.params)

    def _propagator(self, params: Float[Tensor, "batch param"]) -> Callable[[Tensor], Tensor]:
        """Return the equation's; that of the last parameters is kept, since a rollout asks for it at every step."""
        if self._prepared is None or not torch.equal(self._prepared[0], params):
            columns = dict(zip(self.fields.params, params.unbind(1), strict=True))
            equation = self.equation_class(**{name: columns[name] for name in self.parameters})
            self._prepared = params, equation.propagator(self.fields.dt, self.grid)
        return self._prepared[1]

    def decode(self, state: CoarseState) -> Float[Tensor, "batch field *grid"]:
        """Return the frame on the native grid, in float32."""
        return self._frame(state.averages).float()

    def _averages(
        self, frame: Float[Tensor, "batch field *grid"]
    ) -> Float[Tensor, "batch field *solver_grid"]:
        native = self.fields.grid
        if self.reads_points:
            frame = along_axes(lambda lines, _: averages_of(lines), frame, native, native)
        return on_grid(frame, native, self.grid)

    def _frame(
        self, averages: Float[Tensor, "batch field *solver_grid"]
    ) -> Float[Tensor, "batch field *grid"]:
        read = points_of if self.reads_points else resample
        return along_axes(read, averages, self.grid, self.fields.grid)

    def manifest(self) -> CoarseManifest:
        """Return all that is needed to build this solver again."""
        return CoarseManifest(
            equation=self.name,
            fields=self.fields,
            num_cells=self.num_cells,
            samples_are_points=self.samples_are_points,
        )
