"""Actuators: bumps of forcing that a controller scales, held from each frame to the next."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from ups.config import Settings
from ups.solvers.modes import Frame, Spectrum
from ups.solvers.spectral import ETDRK4
from ups.solvers.split import Splits
from ups.types import Grid


class Actuators(Settings):
    """u_t = ... + strength sum_i a_i(t) g_i(x), g_i Gaussian bumps in equal distances, a_i in [-1, 1].

    On a plane they stand along its diagonal.
    """

    number: PositiveInt = 2
    """How many."""
    width: Annotated[float, Field(gt=0, le=0.125)] = 0.06
    """Standard deviation of a bump, in parts of the axis."""
    strength: PositiveFloat = 4.0
    """Rate of change at the middle of a bump under an action of 1, in units of the field over time."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the actions are called."""
        return tuple(f"actuator_{place}" for place in range(self.number))

    def shapes(self, grid: Grid, mean_free: bool = False) -> Float[Tensor, "actuator *grid"]:
        """Return the rate of change that each action of 1 makes, in float64; without its mean where none may move."""
        made = torch.full((self.number, *grid.shape), self.strength, dtype=torch.float64)
        middles = (torch.arange(self.number, dtype=torch.float64) + 0.5) / self.number
        for place, axis in enumerate(grid.axes):
            x = (axis.centres() - axis.origin) / axis.extent
            away = x - middles[:, None]
            around = away[None] - torch.arange(-2, 3, dtype=torch.float64)[:, None, None]
            bumps = torch.exp(-((around / self.width) ** 2) / 2).sum(0)
            shape = [self.number] + [axis.cells if p == place else 1 for p in range(len(grid))]
            made = made * bumps.reshape(shape)
        return made - made.flatten(1).mean(1).reshape(-1, *(1,) * len(grid)) if mean_free else made


class Actuated:
    """An equation that is forced by actions: (frame, actions) -> the frame `duration` later; ETDRK4.

    The forcing is constant in time, so it is one more term of the rate, and no order is lost.
    """

    def __init__(
        self,
        equation: Splits,
        grid: Grid,
        duration: float,
        actuators: Actuators,
        max_step: float,
        mean_free: bool = False,
    ) -> None:
        split = equation.split(grid)
        self.modes, self._plain = split.modes, split.nonlinear
        self.shapes = actuators.shapes(grid, mean_free)
        self._forcing: Spectrum = self.modes.forth(torch.zeros_like(self.shapes[:1]))
        self.scheme = ETDRK4(split.modes, split.symbol, self._rate, duration, max_step)

    def __call__(self, frame: Frame, actions: Float[Tensor, "batch actuator"]) -> Frame:
        """Return frames [batch *grid] `duration` later, each under its own actions."""
        forcing = torch.tensordot(actions.double(), self.shapes, dims=1)
        self._forcing = self.modes.forth(forcing)
        return self.scheme(frame)

    def _rate(self, spectrum: Spectrum) -> Spectrum:
        return self._plain(spectrum) + self._forcing


def longest_step(grid: Grid, duration: float, largest: float) -> float:
    """Return a step in which what moves at the speed `largest` crosses half a cell."""
    return min(duration, 0.5 * min(grid.spacing) / largest)
