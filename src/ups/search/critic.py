"""A critic that is fitted, not trained: which candidate of a set errs least, from what can be seen of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from ups.search.rewards import Frames, Params, Reward, RewardName, Score
from ups.solvers.modes import Modes, no_modes
from ups.types import Grid

NUM_BANDS = 6
"""Bands of wavenumbers, doubling in width, whose energies the critic sees."""

RIDGE = 1e-2
"""Of the penalty, in parts of the variance of each feature."""

FLOOR = 1e-12
"""Below this an energy, or a violation, is nothing."""


@dataclass(frozen=True)
class Features:
    """What a critic sees of a step: the logarithms of all violations, and of the energies in bands of waves.

    The energies are those of the new frame and of its change, field by field.
    """

    rewards: Mapping[RewardName, Reward]
    grid: Grid

    def __call__(self, before: Frames, after: Frames, params: Params) -> Float[Tensor, "batch feature"]:
        """Return one row of numbers for each step."""
        found = [(FLOOR - reward(before, after, params)).log() for reward in self.rewards.values()]
        columns = [torch.stack(found, 1)]
        if not no_modes(self.grid):
            columns += [_bands(frame.double(), self.grid) for frame in (after, after - before)]
        return torch.cat(columns, 1)


@dataclass(frozen=True)
class Critic:
    """A reward: minus the error that a linear regression expects, as a logarithm.

    Fitted to sets of candidates of one and the same step, so that it ranks them; how hard a step is it cannot tell.
    """

    features: Features
    weights: Float[Tensor, " feature"]

    def __call__(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        seen = self.features(before, after, params)
        return seen @ self.weights.to(seen)


def fit_critic(
    features: Float[Tensor, "window candidate feature"], errors: Float[Tensor, "window candidate"]
) -> Float[Tensor, " feature"]:
    """Return the weights of a ridge regression of -log error on the features, both within their sets."""
    x = (features - features.mean(1, keepdim=True)).flatten(0, 1)
    y = -(errors.clamp(min=FLOOR).log() - errors.clamp(min=FLOOR).log().mean(1, keepdim=True)).flatten()
    scale = x.std(0).clamp(min=1e-9)
    z = x / scale
    gram = z.T @ z / len(z) + RIDGE * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    return torch.linalg.solve(gram, z.T @ y.to(z) / len(z)) / scale


def _bands(frames: Frames, grid: Grid) -> Float[Tensor, "batch feature"]:
    """Return the logarithm of the energy in each band of each field; the first band holds the longest waves."""
    modes, member = _members(grid)
    power = modes.forth(frames).abs().square().flatten(2)
    return (power @ member.to(power) / power.shape[-1] ** 2 + FLOOR).log().flatten(1)


@lru_cache
def _members(grid: Grid) -> tuple[Modes, Float[Tensor, "mode band"]]:
    """Return the modes of a grid, and which band each belongs to; the mean to none."""
    modes = Modes(grid)
    size = modes.squared().expand(modes.mode_shape).flatten().sqrt()
    band = (size / size[size > 0].min()).log2().floor().clamp(max=NUM_BANDS - 1)
    return modes, (band[:, None] == torch.arange(NUM_BANDS)).double()
