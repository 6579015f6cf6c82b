"""The nouns of the house: Fields, Trajectory, Row, and the Stepper that everything else stands on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor


class UserError(Exception):
    """The user's input is at fault.

    The message is one line that says what is wrong, where, and what to do. The command line prints it and
    exits with code 2; nothing else may catch it.
    """


@dataclass(frozen=True)
class Fields:
    """What the numbers of a trajectory mean; it travels with the data and is never guessed from names.

    `extent` is the length of the domain along each axis, `origin` its left edge; the grid is the centres of
    equal cells. `dt` is the physical time between two frames. `conserved` names the fields whose integral over
    the domain is constant in time.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    extent: tuple[float, ...]
    dt: float
    boundary: str = "periodic"
    params: tuple[str, ...] = ()
    origin: tuple[float, ...] = (0.0,)
    conserved: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trajectory:
    """A batch of trajectories on one grid, with the parameters of their equation."""

    values: Float[Tensor, "batch time field *space"]
    params: Float[Tensor, "batch param"]
    fields: Fields

    def to(self, device: torch.device | str) -> Trajectory:
        """Return the same trajectories on another device."""
        return replace(self, values=self.values.to(device), params=self.params.to(device))

    def window(self, start: int, length: int) -> Trajectory:
        """Return frames `start` to `start + length`, without a copy."""
        return replace(self, values=self.values[:, start : start + length])

    def select(self, index: Tensor | slice) -> Trajectory:
        """Return the trajectories that `index` names along the batch axis."""
        return replace(self, values=self.values[index], params=self.params[index])

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
        """How many true frames `encode` needs; it uses the last ones of those it is given, and may use more."""
        ...

    def encode(
        self, context: Float[Tensor, "batch time field *space"], params: Float[Tensor, "batch param"]
    ) -> Any:
        """Return the state at the time of the last frame of the context."""
        ...

    def advance(self, state: Any, generator: Generator | None = None) -> Any:
        """Return the state one frame later; a deterministic stepper ignores the generator."""
        ...

    def decode(self, state: Any) -> Float[Tensor, "batch field *space"]:
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
