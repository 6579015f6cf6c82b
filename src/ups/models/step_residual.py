"""The discrete residual: what a step leaves of its equation, and frames moved until it leaves less."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from ups.models.emulator import Emulator
from ups.models.law_operator import LawOperator
from ups.solvers.equation import Defaults, Equation, fields_of
from ups.solvers.resampling import along_axes, points_between
from ups.solvers.split import Split, Splits
from ups.types import Fields

Frames = Float[Tensor, "batch field *grid"]
Params = Float[Tensor, "batch param"]


@dataclass
class Residual:
    """(u' - u) / dt - (rate(u) + 4 rate(m) + rate(u')) / 6 between two frames, in units of the field over time.

    m = (u + u') / 2 + dt (rate(u) - rate(u')) / 8 is the middle of Hermite's cubic: for true frames it is O(dt^4),
    whatever the equation. Source: Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.5 (Lobatto
    IIIA of order 4). `split` gives the rate's parts for some parameters, in the units into which `enter` brings
    physical frames and out of which `leave` brings them; `dt` is a frame in its unit of time, `duration` in the data's.
    """

    name: str
    split: Callable[[Params], Split]
    enter: Callable[[Frames], Tensor]
    leave: Callable[[Tensor], Frames]
    dt: float
    duration: float
    _kept: tuple[Params, Split] | None = field(default=None, repr=False)

    def __call__(self, before: Frames, after: Frames, params: Params) -> Frames:
        """Return the residual of the step from one physical frame to the next, in float64."""
        split = self._split(params)
        start = self.enter(before.double())
        left = self._left(split, start, split.rate(start), self.enter(after.double()))
        return self._physical(left).to(before.device)

    def rate(self, frame: Frames, params: Params) -> Frames:
        """Return what the equation makes of a physical frame in a unit of time, in float64."""
        return self._physical(self._split(params).rate(self.enter(frame.double()))).to(frame.device)

    def middle(self, before: Frames, after: Frames, params: Params) -> Frames:
        """Return the frame half way between two, by Hermite's cubic, in float64."""
        split = self._split(params)
        start, made = self.enter(before.double()), self.enter(after.double())
        middle = (start + made) / 2 + self.dt / 8 * (split.rate(start) - split.rate(made))
        return self.leave(middle).to(before.device)

    def corrected(self, before: Frames, after: Frames, params: Params, num_steps: int) -> Frames:
        """Return frames moved by so many of Newton's steps with an exact linear part (`step`); rows keep what helps."""
        split = self._split(params)
        start, made = self.enter(before.double()), self.enter(after.double())
        first = split.rate(start)
        step = self._step(split, self._left(split, start, first, made))
        for _ in range(num_steps):
            tried = made - step
            next_step = self._step(split, self._left(split, start, first, tried))
            better = self._size(next_step) < self._size(step)
            made, step = torch.where(better, tried, made), torch.where(better, next_step, step)
        return self.leave(made).to(after)

    def step(self, before: Frames, after: Frames, params: Params) -> Frames:
        """Return how far a frame is from one without a residual, in units of the field, in float64.

        Newton's step residual dt / (1 - z / 2 + z^2 / 12), z = dt L where nothing grows: a residual alone weighs the
        shortest waves by the highest derivative of the equation.
        """
        split = self._split(params)
        start = self.enter(before.double())
        left = self._left(split, start, split.rate(start), self.enter(after.double()))
        return self.leave(self._step(split, left)).to(before.device)

    def _split(self, params: Params) -> Split:
        """Return the equation's parts; those of the last parameters are kept, since a rollout asks at every step."""
        if self._kept is None or not torch.equal(self._kept[0], params):
            self._kept = params, self.split(params)
        return self._kept[1]

    def _left(self, split: Split, start: Tensor, first: Tensor, made: Tensor) -> Tensor:
        last = split.rate(made)
        middle = split.rate((start + made) / 2 + self.dt / 8 * (first - last))
        left = (made - start) / self.dt - (first + 4 * middle + last) / 6
        return self.enter(self.leave(left))  # in the waves that the data can hold

    def _step(self, split: Split, left: Tensor) -> Tensor:
        symbol = split.symbol
        z = self.dt * torch.complex(symbol.real.clamp(max=0), _imaginary(symbol))
        return split.modes.back(split.modes.forth(left) * self.dt / (1 - z / 2 + z**2 / 12))

    def _size(self, left: Tensor) -> Tensor:
        """Return the size of each row, shaped to choose between frames."""
        rows = self.leave(left)
        size = rows.square().flatten(1).sum(1)
        return self.enter(size.reshape(-1, *(1,) * (rows.ndim - 1)).expand_as(rows))

    def _physical(self, rate: Tensor) -> Frames:
        return self.leave(rate) * (self.dt / self.duration)


def of_equation(
    equation_class: type[Equation], fields: Fields, cells: tuple[int, ...] | None = None
) -> Residual | None:
    """Return the residual of an equation that is stated; None where it does not say what it is made of.

    `cells` are those of the solver that made the data, where they are known. Samples are read as waves on these, since
    products there reach waves that the samples' own grid would cut off; averages stay on their cells.
    """
    if not issubclass(equation_class, Splits):
        return None
    names = tuple(inspect.signature(equation_class).parameters)
    several = len(fields_of(equation_class)) > 1
    grid = fields.grid
    fine = grid.resized(*cells) if cells else grid
    is_finer = fine != grid and getattr(equation_class, "data", Defaults()).cells_hold == "points"
    fine = fine if is_finer else grid

    def split(params: Params) -> Split:
        columns = dict(zip(fields.params, params.double().cpu().unbind(1), strict=True))
        return cast(Splits, equation_class(**{name: columns[name] for name in names})).split(fine)

    def enter(frames: Frames) -> Tensor:
        frames = frames.cpu()  # as the classical solver does
        frames = along_axes(points_between, frames, grid, fine) if is_finer else frames
        return frames.transpose(0, 1) if several else frames[:, 0]

    def leave(frames: Tensor) -> Frames:
        frames = frames.transpose(0, 1) if several else frames[:, None]
        return along_axes(points_between, frames, fine, grid) if is_finer else frames

    return Residual(equation_class.__name__, split, enter, leave, fields.dt, fields.dt)


def of_law(emulator: Emulator) -> Residual | None:
    """Return the residual of the law that an emulator has read off its data; None where it has read none."""
    operator = emulator.operator
    if not isinstance(operator, LawOperator) or not operator.law.kept.any():
        return None
    normalizer, across = emulator.normalizer, operator.across

    def split(params: Params) -> Split:
        return operator.split(normalizer.normalize_params(params.float()))

    def enter(frames: Frames) -> Tensor:
        return frames / across(normalizer.std).double()

    def leave(frames: Tensor) -> Frames:
        return frames * across(normalizer.std).double()

    return Residual("the law", split, enter, leave, 1.0, emulator.fields.dt)


def _imaginary(symbol: Tensor) -> Tensor:
    return symbol.imag if symbol.is_complex() else torch.zeros_like(symbol)
