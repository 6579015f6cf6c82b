"""Rewards: what a step from one frame to the next says of itself without knowing the truth. 0 is best.

Each is a number per row, in physical units, from what the data say of their fields: integrals are means over cells of
equal size, so nothing depends on the resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ups.models.step_residual import Frames, Params, Residual
from ups.types import Boundary, Fields, UserError

Score = Float[Tensor, " batch"]

RewardName = Literal[
    "conservation",
    "energy_decay",
    "energy_balance",
    "positivity",
    "maximum_principle",
    "total_variation",
    "boundary",
    "residual",
    "critic",
]


@runtime_checkable
class Reward(Protocol):
    """What a step is worth: 0 at best, less the more it violates."""

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        ...


@dataclass(frozen=True)
class Conservation:
    """-sum over conserved fields of |mean u' - mean u|, in units of the field."""

    fields: Fields

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        index = [place for place, field in enumerate(self.fields.each) if field.conserved]
        return -_mean(after[:, index] - before[:, index]).abs().sum(1)


@dataclass(frozen=True)
class EnergyDecay:
    """-max(0, E' - E), E = the mean of u^2 / 2 over all fields: no energy where none is fed."""

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        return -(_energy(after) - _energy(before)).clamp(min=0)


@dataclass(frozen=True)
class EnergyBalance:
    """-|E' - E - the integral of <u rate> between|: energy comes and goes as the equation has it, by Simpson's rule.

    Of viscous Burgers that is dE/dt = -nu <u_x^2>: what is advected neither makes nor destroys any.
    """

    residual: Residual

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        fed = 0.0
        for frame, weight in zip(
            (before, self.residual.middle(before, after, params), after), (1, 4, 1), strict=True
        ):
            fed += weight * _mean(frame.double() * self.residual.rate(frame, params)).sum(1)
        return -(_energy(after) - _energy(before) - self.residual.duration / 6 * fed).abs()


@dataclass(frozen=True)
class Positivity:
    """-the mean of max(0, -u) over fields that cannot be negative."""

    fields: Fields

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        index = [place for place, field in enumerate(self.fields.each) if field.positive]
        return -_mean((-after[:, index]).clamp(min=0)).sum(1)


@dataclass(frozen=True)
class MaximumPrinciple:
    """-the mean of what leaves the range of the frame before, field by field."""

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        around = tuple(range(2, before.ndim))
        low, high = before.double().amin(around, keepdim=True), before.double().amax(around, keepdim=True)
        beyond = (after.double() - high).clamp(min=0) + (low - after.double()).clamp(min=0)
        return -_mean(beyond).sum(1)


@dataclass(frozen=True)
class TotalVariation:
    """-max(0, TV' - TV), TV the mean of sum over axes of |du/dx|: nothing oscillates anew."""

    fields: Fields

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        return -(self._variation(after) - self._variation(before)).clamp(min=0)

    def _variation(self, frames: Frames) -> Score:
        total = frames.new_zeros(len(frames), dtype=torch.float64)
        for place, axis in enumerate(self.fields.grid.axes):
            jumps = frames.double().diff(dim=2 + place)
            sums = jumps.abs().flatten(1).sum(1)
            if axis.is_periodic:
                ends = [frames.double().select(2 + place, end) for end in (0, -1)]
                sums = sums + (ends[0] - ends[1]).abs().flatten(1).sum(1)
            total = total + sums / axis.spacing
        return total / frames[0, 0].numel()


@dataclass(frozen=True)
class Boundaries:
    """-the mean size of what fails at the ends of axes: the value there, or the slope times a cell.

    Both are extrapolated from the two cells beside the end, so the best value is that of a smooth field: O(dx^2).
    """

    fields: Fields

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        missed = []
        for place, axis in enumerate(self.fields.grid.axes):
            for end, boundary in ((0, axis.low), (-1, axis.high)):
                if boundary.kind not in ("wall", "neumann", "dirichlet"):
                    continue
                cells = [
                    after.double().select(2 + place, end + step * (1 if end == 0 else -1)) for step in (0, 1)
                ]
                missed.append(self._missed(*cells, boundary, axis.spacing, 1 if end == 0 else -1))
        return -torch.stack([each.abs().flatten(1).mean(1) for each in missed]).mean(0)

    @staticmethod
    def _missed(edge: Tensor, inner: Tensor, boundary: Boundary, spacing: float, sign: int) -> Tensor:
        if boundary.kind == "dirichlet":
            return 1.5 * edge - 0.5 * inner - boundary.value
        return inner - edge - sign * boundary.value * spacing


@dataclass(frozen=True)
class LeastResidual:
    """-the root of the mean square of how far the frame is from one without a residual, in units of the field."""

    residual: Residual

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        return -self.residual.step(before, after, params).square().flatten(1).mean(1).sqrt()


def available(fields: Fields, residual: Residual | None) -> dict[RewardName, Reward]:
    """Return the rewards that can be asked of data of these fields; `residual` where their equation is known."""
    found: dict[RewardName, Reward] = {
        "energy_decay": EnergyDecay(),
        "maximum_principle": MaximumPrinciple(),
        "total_variation": TotalVariation(fields),
    }
    if fields.conserved:
        found["conservation"] = Conservation(fields)
    if any(field.positive for field in fields.each):
        found["positivity"] = Positivity(fields)
    kinds = {end.kind for axis in fields.grid.axes for end in (axis.low, axis.high)}
    if kinds & {"wall", "neumann", "dirichlet"}:
        found["boundary"] = Boundaries(fields)
    if residual:
        found["energy_balance"] = EnergyBalance(residual)
        found["residual"] = LeastResidual(residual)
    return found


LACKS = {
    "conservation": "no field of the data is declared conserved",
    "positivity": "no field of the data is declared positive",
    "boundary": "the data have no ends: every axis is periodic",
    "energy_balance": "the equation of the data is neither stated nor read off them",
    "residual": "the equation of the data is neither stated nor read off them",
}


def require(names: Mapping[RewardName, float], rewards: Mapping[RewardName, Reward]) -> None:
    """See that rewards can be asked of the data.

    Raises:
        UserError: one cannot; it says why.
    """
    for name in names:
        if name not in rewards and name != "critic":
            known = ", ".join(sorted([*rewards, "critic"]))
            raise UserError(f"search: no reward '{name}' here, {LACKS[name]} (there are {known})")


def _mean(frames: Float[Tensor, "batch field *grid"]) -> Float[Tensor, "batch field"]:
    return frames.double().flatten(2).mean(2)


def _energy(frames: Frames) -> Score:
    return _mean(frames.double().square()).sum(1) / 2
