"""What an equation is: its law, its parameters, and what data of it look like where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ups.solvers.modes import Frame
from ups.types import Field, Grid

Parameter = float | Float[Tensor, "batch"]

Initial = Literal["pdebench_like", "clean", "gaussian_field", "pdebench_noise", "seeds"]


@dataclass(frozen=True)
class Defaults:
    """Data of an equation where the settings leave it open.

    `params` holds the values that each trajectory draws from. `refinement` is the number of solver cells per cell
    that is kept; `warmup` the physical time before frame 0, in which a chaotic system forgets how it was started.
    """

    params: dict[str, tuple[float, ...]] = field(default_factory=dict)
    extent: float = 1.0
    dt: float = 0.05
    initial: Initial = "clean"
    unit_range: bool = False
    """Whether initial frames are scaled to [0, 1]."""
    fields: tuple[Field, ...] = (Field("u", conserved=True),)
    """What the equation is of; whether its integral over the domain is constant."""
    cells_hold: Literal["points", "averages"] = "points"
    """What the solver's numbers are: values at the centres of the cells, or averages over them."""
    refinement: int = 1
    warmup: float = 0.0


@runtime_checkable
class Equation(Protocol):
    """An evolution equation: a frozen dataclass of its parameters, numbers or one per trajectory.

    Those of the house have `data` too, the `Defaults` of theirs.
    """

    @staticmethod
    def obstacle(grid: Grid) -> str:
        """Return why the equation cannot be solved on a grid; "" if it can."""
        ...

    def propagator(self, duration: float, grid: Grid) -> Callable[[Frame], Frame]:
        """Return the map from frames to the frames `duration` later.

        Raises:
            UserError: the equation cannot be solved on the grid.
        """
        ...


@runtime_checkable
class Steady(Equation, Protocol):
    """An equation whose solutions come to rest, and that says how far they are from it."""

    def rate(self, frame: Frame, grid: Grid) -> Frame:
        """Return u_t, which is zero in a steady state."""
        ...


def fields_of(equation: type[Equation]) -> tuple[Field, ...]:
    """Return what an equation is of: one field where it has no `data`."""
    return getattr(equation, "data", Defaults()).fields


def per_mode(parameter: Parameter, grid: Grid) -> Tensor:
    """Return a parameter in float64, shaped to broadcast over the modes of a batch of frames."""
    return torch.as_tensor(parameter, dtype=torch.float64).reshape(-1, *(1,) * len(grid))
