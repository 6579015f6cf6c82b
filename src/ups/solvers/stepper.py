"""A classical solver as a stepper: the rung of the ladder that an emulator has to justify itself against."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Generator, Tensor

from ups.checkpoint import Manifest
from ups.solvers import equations
from ups.solvers.equations import Equation
from ups.solvers.resampling import averages_of, points_of, resample
from ups.types import Fields, UserError, describe_boundaries


class CoarseManifest(Manifest):
    """From what a solver on a grid was built."""

    kind: Literal["solver"] = "solver"
    equation: str
    """The name of its class."""
    fields: Fields
    """The data that it reads and writes."""
    num_cells: int
    """Of the solver."""
    native_cells: int
    """Of the data."""
    samples_are_points: bool
    """Whether the data are samples, or averages over cells."""

    def build(self) -> Coarse:
        """Return the solver.

        Raises:
            UserError: there is no such equation.
        """
        equation = getattr(equations, self.equation, None)
        if not hasattr(equation, "propagator"):
            raise UserError(f"solver: no equation '{self.equation}'")
        return Coarse(equation, self.fields, self.num_cells, self.native_cells, self.samples_are_points)


class CoarseState(NamedTuple):
    """Cell averages on the solver's grid, and the parameters of the equation."""

    averages: Float[Tensor, "batch cell"]
    params: Float[Tensor, "batch param"]


class Coarse:
    """Solves the equation on `num_cells` cells, fewer or more than the data's `native_cells`.

    A context frame is taken as averages over equal cells around its samples, resampled, advanced by
    `fields.dt` a step, and resampled to the native grid when it is decoded; the mean is kept to round-off. Data
    that are strided out of a finer grid, as PDEBench's usually are, are point values instead: say so by
    `samples_are_points`, and a solver on a finer grid than the data's reads and writes points, at fourth order;
    the mean of the decoded points then varies as that of the data does. (A coarser grid cannot tell the two
    apart.) Such a solver also starts from an earlier frame of the context, at most the tenth from its end, and
    advances to the last: where fronts are thinner than a cell of the data, an earlier and smoother frame tells more
    of them than the last. Other grids start from the last frame. The solver works on the CPU in float64.

    Raises:
        UserError: the data are not one field in one dimension, or lack a parameter of the equation.
    """

    num_context = 1

    def __init__(
        self,
        equation_class: Callable[..., Equation],
        fields: Fields,
        num_cells: int,
        native_cells: int,
        samples_are_points: bool = False,
    ) -> None:
        name = getattr(equation_class, "__name__", str(equation_class))
        if len(fields) != 1 or len(fields.grid) != 1 or not fields.grid.is_periodic:
            raise UserError(
                f"coarse solver {name}: needs one field on a periodic line, the data have fields {fields.names} "
                f"on {describe_boundaries(fields.grid)}; choose other data or no solver"
            )
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
        self.num_cells = num_cells
        self.native_cells = native_cells
        self.reads_points = samples_are_points and num_cells > native_cells
        self.spin_up = 10 if self.reads_points else 1

    def encode(
        self, context: Float[Tensor, "batch time 1 cell"], params: Float[Tensor, "batch param"]
    ) -> CoarseState:
        """Return the solver's state at the last context frame."""
        context = context[:, -self.spin_up :]
        frame = context[:, 0, 0].double()
        averages = averages_of(frame) if self.reads_points else frame
        state = CoarseState(resample(averages, self.num_cells), params)
        for _ in range(context.shape[1] - 1):
            state = self.advance(state)
        return state

    def advance(self, state: CoarseState, generator: Generator | None = None) -> CoarseState:
        """Return the state `fields.dt` later."""
        columns = dict(zip(self.fields.params, state.params.double().cpu().unbind(1), strict=True))
        equation = self.equation_class(**{name: columns[name] for name in self.parameters})
        propagate = equation.propagator(self.fields.dt, self.num_cells, self.fields.grid.extent[0])
        averages = propagate(state.averages.cpu()).to(state.averages.device)
        return CoarseState(averages, state.params)

    def decode(self, state: CoarseState) -> Float[Tensor, "batch 1 cell"]:
        """Return the frame on the native grid, in float32."""
        read = points_of if self.reads_points else resample
        return read(state.averages, self.native_cells)[:, None].float()

    def manifest(self) -> CoarseManifest:
        """Return all that is needed to build this solver again."""
        return CoarseManifest(
            equation=self.name,
            fields=self.fields,
            num_cells=self.num_cells,
            native_cells=self.native_cells,
            samples_are_points=self.samples_are_points,
        )
