"""The nouns of the house: Grid, Fields, Trajectory, Row, and the Stepper that everything else stands on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor


class UserError(Exception):
    """The user's input is at fault.

    The message is one line that says what is wrong, where, and what to do. The command line prints it and
    exits with code 2; nothing else may catch it.
    """


@dataclass(frozen=True)
class Boundary:
    """What holds at one end of an axis.

    - `periodic`: the axis repeats; then both ends are.
    - `wall`: nothing crosses. Scalars and the velocity along the wall continue evenly, the velocity into it oddly
      (a free-slip wall, no flux).
    - `open`: waves leave; the last value continues.
    - `dirichlet`: the field has `value` there, in its own unit.
    - `neumann`: the field's derivative along the axis is `value` there, in units of field over length.
    """

    kind: Literal["periodic", "wall", "open", "dirichlet", "neumann"]
    value: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}({self.value:g})" if self.kind in ("dirichlet", "neumann") else self.kind


PERIODIC, WALL, OPEN = Boundary("periodic"), Boundary("wall"), Boundary("open")


@dataclass(frozen=True)
class Axis:
    """One direction of space: `cells` equal cells from `origin` to `origin + extent`; values belong to their centres.

    Raises:
        ValueError: one end alone is periodic, or there is no cell or no length.
    """

    name: str
    cells: int
    extent: float
    origin: float = 0.0
    low: Boundary = PERIODIC
    high: Boundary = PERIODIC
    unit: str = "1"

    def __post_init__(self) -> None:
        if (self.low == PERIODIC) != (self.high == PERIODIC):
            raise ValueError(f"axis {self.name}: periodic at one end is periodic at both")
        if self.cells < 1 or not 0 < self.extent < math.inf or not math.isfinite(self.origin):
            raise ValueError(
                f"axis {self.name}: {self.cells} cells from {self.origin:g} over {self.extent:g}"
            )

    @property
    def spacing(self) -> float:
        """The width of a cell."""
        return self.extent / self.cells

    @property
    def is_periodic(self) -> bool:
        """Whether the axis repeats."""
        return self.low == PERIODIC

    def centres(self) -> Float[Tensor, " cell"]:
        """Return the coordinates of the centres of the cells, in float64."""
        return self.origin + (torch.arange(self.cells, dtype=torch.float64) + 0.5) * self.spacing


@dataclass(frozen=True)
class Grid:
    """The axes of space, in the order in which they stand in a tensor."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(axis.cells for axis in self.axes)

    @property
    def extent(self) -> tuple[float, ...]:
        """Length of each axis."""
        return tuple(axis.extent for axis in self.axes)

    @property
    def origin(self) -> tuple[float, ...]:
        """Left end of each axis."""
        return tuple(axis.origin for axis in self.axes)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Width of a cell along each axis."""
        return tuple(axis.spacing for axis in self.axes)

    @property
    def is_periodic(self) -> bool:
        """Whether every axis repeats."""
        return all(axis.is_periodic for axis in self.axes)

    @property
    def walls(self) -> tuple[bool, ...]:
        """Of each axis, whether it ends instead of repeating."""
        return tuple(not axis.is_periodic for axis in self.axes)

    def resized(self, *cells: int) -> Grid:
        """Return the same domain with other numbers of cells."""
        return Grid(tuple(replace(axis, cells=n) for axis, n in zip(self.axes, cells, strict=True)))

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape))

    def __len__(self) -> int:
        return len(self.axes)


def line(cells: int, extent: float = 1.0, origin: float = 0.0, *, name: str = "x", unit: str = "1") -> Grid:
    """Return a periodic line."""
    return Grid((Axis(name, cells, extent, origin, unit=unit),))


def describe_boundaries(grid: Grid) -> str:
    """Return what holds at the ends of a grid: "a periodic line", "x periodic, y wall to open"."""
    if grid.is_periodic:
        return f"a periodic {('line', 'plane', 'box')[len(grid) - 1]}"
    sides = (
        f"{axis.name} {axis.low}" + ("" if axis.low == axis.high else f" to {axis.high}")
        for axis in grid.axes
    )
    return ", ".join(sides)


def no_periodic_line(grid: Grid) -> str:
    """Return why code that is honest on one periodic axis alone cannot work on a grid; "" if it can."""
    if len(grid) == 1 and grid.is_periodic:
        return ""
    return f"needs a periodic line, the data live on {describe_boundaries(grid)}"


def require_periodic_line(grid: Grid, who: str) -> None:
    """See that a grid is one periodic axis.

    Raises:
        UserError: it is not.
    """
    if reason := no_periodic_line(grid):
        raise UserError(f"{who}: {reason}")


@dataclass(frozen=True)
class Field:
    """One physical quantity. `conserved`: its integral over the domain is constant in time.

    `vector` and `axis` tie the components of a vector, ("velocity", "x"): flips, rotations, walls and normalization
    act on all of them together. A scalar has neither.
    """

    name: str
    unit: str = "1"
    conserved: bool = False
    positive: bool = False
    vector: str = ""
    axis: str = ""


@dataclass(frozen=True)
class Fields:
    """What the numbers of a trajectory mean; it travels with the data and is never guessed from names.

    `each` is the quantities in the order of the field axis, `grid` where they live, `dt` the physical time between
    two frames. `params`, `constants` and `actions` name the columns of those tensors of a trajectory.
    """

    each: tuple[Field, ...]
    grid: Grid
    dt: float
    params: tuple[str, ...] = ()
    constants: tuple[Field, ...] = ()
    actions: tuple[str, ...] = ()
    time_unit: str = "1"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(field.name for field in self.each)

    @property
    def conserved(self) -> tuple[str, ...]:
        """The names of the fields whose integral over the domain is constant."""
        return tuple(field.name for field in self.each if field.conserved)

    def __len__(self) -> int:
        return len(self.each)


@dataclass(frozen=True)
class Trajectory:
    """A batch of trajectories on one grid, with the parameters of their equation.

    `constants` are fields that do not change (masks, coefficients, forcing): conditioning, never targets. `actions`
    act from each frame to the next.

    Raises:
        ValueError: the shapes are not those that the fields state.
    """

    values: Float[Tensor, "batch time field *grid"]
    params: Float[Tensor, "batch param"]
    fields: Fields
    constants: Float[Tensor, "batch constant *grid"] | None = None
    actions: Float[Tensor, "batch time action"] | None = None

    def __post_init__(self) -> None:
        stated = (len(self.fields), *self.fields.grid.shape)
        if tuple(self.values.shape[2:]) != stated:
            raise ValueError(f"values of shape {tuple(self.values.shape)} for fields and cells {stated}")

    def to(self, device: torch.device | str) -> Trajectory:
        """Return the same trajectories on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def window(self, start: int, length: int) -> Trajectory:
        """Return frames `start` to `start + length`, without a copy."""
        actions = None if self.actions is None else self.actions[:, start : start + length]
        return replace(self, values=self.values[:, start : start + length], actions=actions)

    def select(self, index: Tensor | slice) -> Trajectory:
        """Return the trajectories that `index` names along the batch axis."""
        return self._each(lambda tensor: tensor[index])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Trajectory:
        parts = {name: getattr(self, name) for name in ("values", "params", "constants", "actions")}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})

    def __len__(self) -> int:
        return self.values.shape[0]


@runtime_checkable
class Stepper(Protocol):
    """Anything that advances a physical state by one frame: a solver, a network, an emulator, a search.

    A state is opaque to the caller: a solver's is the field, a latent emulator's its tokens. Every tensor in it
    has the batch as its first axis. Parameters of the equation enter through `encode` and live in the state.
    """

    @property
    def num_context(self) -> int:
        """How many true frames `encode` needs; it uses the last ones of those it is given.

        One that uses more where there are more says how many, at most, as `frames_read`.
        """
        ...

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
    ) -> Any:
        """Return the state at the time of the last frame of the context."""
        ...

    def advance(self, state: Any, generator: Generator | None = None) -> Any:
        """Return the state one frame later; a deterministic stepper ignores the generator."""
        ...

    def decode(self, state: Any) -> Float[Tensor, "batch field *grid"]:
        """Return the state's frame in physical units."""
        ...


class Row(NamedTuple):
    """One measured number. Reports, comparisons and studies read rows and nothing else.

    `trajectory` is the index in the test split; -1 marks a number of the whole split. `time` is physical; NaN marks
    a number of the whole trajectory. `field` is "" where the number is not of one field.
    """

    run: str
    variant: str
    seed: int
    protocol: str
    stepper: str
    trajectory: int
    metric: str
    field: str
    time: float
    value: float
