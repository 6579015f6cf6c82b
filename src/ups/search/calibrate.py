"""Before a search is paid for: does any reward know which candidate errs least? Asked of validation data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ups.progress import Progress
from ups.search.critic import Features
from ups.search.rewards import Reward, RewardName
from ups.search.states import repeated
from ups.statistics.bootstrap import Interval, bootstrap_mean, paired_bootstrap
from ups.types import Stepper, Trajectory

NUM_STARTS = 6
"""Frames of a trajectory, spread over its time, at which candidates are drawn."""

MOST_TRAJECTORIES = 64
"""Validation trajectories, at most."""

HORIZON = 4
"""Frames ahead to which members are followed, each on its own."""


@dataclass(frozen=True)
class Windows:
    """Sets of candidates for one true step each, what was seen of them, and how far from the truth they are.

    Errors are root mean squares over fields in units of their deviation. Along the horizon each candidate is followed
    on its own, its rewards summed; NaN where the trajectory has ended.
    """

    errors: Float[Tensor, "horizon window candidate"]
    rewards: Mapping[RewardName, Float[Tensor, "horizon window candidate"]]
    features: Float[Tensor, "window candidate feature"]
    """What a critic sees of the first step."""
    distance: Float[Tensor, "window candidate"]
    """Of each candidate from the mean of its set, one frame ahead."""
    mean_error: Float[Tensor, " window"]
    """Of that mean."""
    base_error: Float[Tensor, " window"]
    """Of the operator alone."""
    trajectory: Int[Tensor, " window"]
    """Whose window it is."""

    def of(self, trajectories: Int[Tensor, " trajectory"]) -> Windows:
        """Return the windows of some trajectories."""
        index = torch.isin(self.trajectory, trajectories).nonzero()[:, 0]
        return Windows(
            self.errors[:, index],
            {name: values[:, index] for name, values in self.rewards.items()},
            self.features[index],
            self.distance[index],
            self.mean_error[index],
            self.base_error[index],
            self.trajectory[index],
        )


@torch.no_grad()
def draw_windows(
    steppers: Sequence[Stepper],
    counts: Sequence[int],
    base: Stepper,
    rewards: Mapping[RewardName, Reward],
    features: Features,
    data: Trajectory,
    generator: Generator,
    progress: Progress = lambda fraction, text: None,
) -> Windows:
    """Draw candidates for steps of the data, and score them by every reward."""
    data = data.select(slice(0, MOST_TRAJECTORIES))
    frames = data.values.shape[1]
    starts = _starts(max(stepper.num_context for stepper in steppers), frames)
    unit = data.values.std((0, 1, *range(3, data.values.ndim))).clamp(min=1e-30)
    drawn = []
    for done, start in enumerate(starts):
        progress(done / len(starts), "candidates")
        drawn.append(_drawn(steppers, counts, base, rewards, features, data, start, unit, generator))
    return Windows(
        torch.cat([part.errors for part in drawn], 1),
        {name: torch.cat([part.rewards[name] for part in drawn], 1) for name in rewards},
        *(
            torch.cat([getattr(part, name) for part in drawn])
            for name in ("features", "distance", "mean_error", "base_error", "trajectory")
        ),
    )


def _drawn(
    steppers: Sequence[Stepper],
    counts: Sequence[int],
    base: Stepper,
    rewards: Mapping[RewardName, Reward],
    features: Features,
    data: Trajectory,
    start: int,
    unit: Float[Tensor, " field"],
    generator: Generator,
) -> Windows:
    """Return the windows of one frame of all trajectories."""
    batch, count = len(data), sum(counts)
    context, ended = data.values[:, :start], data.values.shape[1]
    used = [(stepper, number) for stepper, number in zip(steppers, counts, strict=True) if number]
    inner = steppers[0].encode(context, data.params)
    states = [repeated(inner, number) for _, number in used]

    def sets(values: Tensor) -> Tensor:
        return values.unflatten(0, (count, batch)).transpose(0, 1)

    def size(differs: Float[Tensor, "row field *grid"]) -> Float[Tensor, " row"]:
        scaled = differs / unit[(..., *(None,) * (differs.ndim - 2))]
        return scaled.square().flatten(1).mean(1).sqrt()

    before, params = repeated(context[:, -1], count), repeated(data.params, count)
    errors, gained, first = [], [], before
    for place in range(start, min(start + HORIZON, ended)):
        states = [s.advance(state, generator) for (s, _), state in zip(used, states, strict=True)]
        after = torch.cat([s.decode(state) for (s, _), state in zip(used, states, strict=True)])
        errors.append(sets(size(after - repeated(data.values[:, place], count))))
        gained.append({name: sets(reward(before, after, params)) for name, reward in rewards.items()})
        first = after if place == start else first
        before = after
    blank = [torch.full_like(errors[0], math.nan)] * (HORIZON - len(errors))
    mean = sets(first).mean(1)
    alone = base.decode(base.advance(base.encode(context, data.params), generator))
    return Windows(
        torch.stack([*errors, *blank]),
        {name: torch.stack([*(g[name] for g in gained), *blank]).cumsum(0) for name in rewards},
        sets(features(repeated(context[:, -1], count), first, params)),
        sets(size(first - repeated(mean, count))),
        size(mean - data.values[:, start]),
        size(alone - data.values[:, start]),
        torch.arange(batch, device=first.device),
    )


def rank_correlation(
    rewards: Float[Tensor, "window candidate"],
    errors: Float[Tensor, "window candidate"],
    distance: Float[Tensor, "window candidate"] | None = None,
) -> Float[Tensor, " window"]:
    """Return Spearman's correlation of rewards with minus the error within each set of candidates.

    With `distance`, the partial one: what is left beside it. A candidate near the mean of its set errs less than
    another whatever the truth; a reward that knows no more than that is beaten by the mean. NaN where a set is all
    alike.
    """
    reward, error = _ranks(rewards), _ranks(-errors)
    if distance is None:
        return _correlation(reward, error)
    # its ranks and itself: ranks alone forget how far apart two candidates are
    known = torch.stack([torch.ones_like(reward), _ranks(distance), distance.double()], 2)
    basis = torch.linalg.qr(known).Q
    left = [values - (basis @ (basis.mT @ values[..., None]))[..., 0] for values in (reward, error)]
    return _correlation(*left)


def over_trajectories(values: Float[Tensor, " window"], trajectory: Int[Tensor, " window"]) -> np.ndarray:
    """Return the mean of each trajectory's windows, 0 where none says anything."""
    means = []
    for one in trajectory.unique():
        some = values[trajectory == one]
        some = some[some.isfinite()]
        means.append(some.mean().item() if len(some) else 0.0)
    return np.array(means)


def correlation(
    windows: Windows,
    score: Float[Tensor, "horizon window candidate"],
    horizon: int = 1,
    partial: bool = True,
) -> Interval:
    """Return the mean rank correlation of a score, summed over the horizon, with its interval over trajectories.

    The partial one is of the first step alone.
    """
    distance = windows.distance if partial else None
    found = rank_correlation(score[horizon - 1], windows.errors[horizon - 1], distance)
    return bootstrap_mean(over_trajectories(found, windows.trajectory))


def with_critic(windows: Windows, weights: Float[Tensor, " feature"]) -> Windows:
    """Return windows whose first steps a critic has scored too."""
    scores = windows.features @ weights
    unknown = torch.full_like(windows.errors[1:], math.nan)
    scored = {**windows.rewards, "critic": torch.cat([scores[None].to(unknown), unknown])}
    return replace(windows, rewards=scored)


def skill(better: Float[Tensor, " window"], than: Float[Tensor, " window"], windows: Windows) -> Interval:
    """Return the share of an error that is taken off, with its interval over trajectories."""
    return paired_bootstrap(
        over_trajectories(better, windows.trajectory), over_trajectories(than, windows.trajectory)
    )


def chosen_error(windows: Windows, score: Float[Tensor, "window candidate"]) -> Float[Tensor, " window"]:
    """Return the error one frame ahead of the candidate with the highest score in each set."""
    return windows.errors[0].gather(1, score.argmax(1, keepdim=True))[:, 0]


def _starts(first: int, frames: int) -> list[int]:
    """Return the lengths of contexts after which a step is forecast."""
    last = frames - 1
    if last < first:
        return []
    return sorted({
        round(first + (last - first) * place / max(1, NUM_STARTS - 1)) for place in range(NUM_STARTS)
    })


def _ranks(values: Float[Tensor, "window candidate"]) -> Float[Tensor, "window candidate"]:
    """Return ranks with ties shared."""
    below = (values[:, :, None] > values[:, None, :]).double().sum(2)
    tied = (values[:, :, None] == values[:, None, :]).double().sum(2)
    return below + (tied - 1) / 2


def _correlation(a: Float[Tensor, "window candidate"], b: Float[Tensor, "window candidate"]) -> Tensor:
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = (a.square().sum(1) * b.square().sum(1)).sqrt()
    return torch.where(size > 1e-9, (a * b).sum(1) / size, math.nan)
