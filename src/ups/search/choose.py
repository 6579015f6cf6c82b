"""Which reward a search goes by, what it knows, and whether that is worth anything: half chooses, half judges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ups.search.calibrate import (
    HORIZON,
    Windows,
    chosen_error,
    correlation,
    skill,
    with_critic,
)
from ups.search.critic import fit_critic
from ups.search.rewards import RewardName
from ups.statistics.bootstrap import Interval
from ups.types import Stepper, Trajectory

LEAST_GAIN = 0.01
"""Of the error of a single candidate that a perfect choice has to take off for a search to be worth anything."""

BETTER = 0.05
"""Of rank correlation that a critic has to know more than the best reward that needs no fit."""

LEAST_TRAJECTORIES = 4
"""Of a validation split, half of which chooses and half judges."""

MOST_STEPS = 8
"""Steps of each validation trajectory, at most, on which a correction is judged."""


class Chosen(NamedTuple):
    """What one half of the trajectories chose, and the half that is left to judge it."""

    factors: dict[RewardName, float]
    """Weight over unit of each reward."""
    critic: Float[Tensor, " feature"]
    judging: Int[Tensor, " trajectory"]


def choose(windows: Windows, weights: Mapping[RewardName, float]) -> Chosen:
    """Return the rewards of a search, in units of what they vary by among candidates.

    With no `weights`, the one reward that knows most of the error beside the distance from the mean of the candidates.
    The critic is asked about trajectories that it was not fitted to.
    """
    each = windows.trajectory.unique()
    choosing, judging = each[::2], each[1::2]
    first = windows.of(choosing)
    critic = fit_critic(first.features, first.errors[0])
    if not weights:
        known: dict[RewardName, float] = {name: _known(first, name) for name in first.rewards}
        best: RewardName = max(known, key=lambda name: known[name])
        if len(choosing) > 1:
            taught, asked = windows.of(choosing[::2]), windows.of(choosing[1::2])
            rival = _known(with_critic(asked, fit_critic(taught.features, taught.errors[0])), "critic")
            best = "critic" if rival > known[best] + BETTER else best
        weights = {best: 1.0}
    scored = with_critic(first, critic)
    units = {name: scored.rewards[name][0].std(1).mean().item() for name in weights}
    factors = {name: weight / (units[name] or 1.0) for name, weight in weights.items()}
    return Chosen(factors, critic, judging)


def explain(
    windows: Windows, factors: Mapping[RewardName, float]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return what the rewards of a search know and what that is worth, in numbers and in sentences."""
    score = torch.stack([factor * windows.rewards[name] for name, factor in factors.items()]).sum(0)
    plain, partial = correlation(windows, score, partial=False), correlation(windows, score)
    single, best = windows.errors[0].mean(1), windows.errors[0].amin(1)
    picked = chosen_error(windows, score[0])
    ceiling, gain = skill(best, single, windows), skill(picked, single, windows)
    of_mean, alone = skill(windows.mean_error, single, windows), skill(windows.base_error, single, windows)
    spread = (windows.distance.square().mean(1).sqrt().mean() / windows.base_error.mean()).item()
    later = [correlation(windows, score, horizon, partial=False).mean for horizon in range(2, HORIZON + 1)]
    numbers = {
        "rank_correlation": plain.mean,
        "rank_correlation_low": plain.low,
        "rank_correlation_high": plain.high,
        "beyond_mean": partial.mean,
        "beyond_mean_low": partial.low,
        "beyond_mean_high": partial.high,
        "ceiling": ceiling.mean,
        "ceiling_low": ceiling.low,
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "gain_of_mean": of_mean.mean,
        "gain_of_mean_low": of_mean.low,
        "gain_of_operator": alone.mean,
        "spread": spread,
    } | {f"rank_correlation_{horizon}": value for horizon, value in enumerate(later, 2)}
    numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}
    names = " + ".join(name.replace("_", " ") for name in factors)
    count = len(windows.trajectory.unique())
    return numbers, (
        f"reward {names}; asked on {len(windows.trajectory)} steps of {count} validation trajectories that did not "
        "choose it",
        f"rank correlation with the error {_interval(plain)}; beside the distance from the candidates' mean "
        f"{_interval(partial)}; over " + ", ".join(f"{h} frames {v:.2f}" for h, v in enumerate(later, 2)),
        f"the candidates spread by {spread:.2g} of the operator's error; of a single one's error a perfect choice "
        f"among {windows.errors.shape[2]} takes {_percent(ceiling)} off, this reward {_percent(gain)}, their mean "
        f"{_percent(of_mean)}, the operator alone {_percent(alone)}",
    )


def refusal(numbers: Mapping[str, float]) -> str:
    """Return why a search cannot pay; "" if it may."""
    if not numbers:
        return (
            f"fewer than {LEAST_TRAJECTORIES} validation trajectories do not tell what a reward knows "
            "(search.force=true searches all the same)"
        )
    if not numbers.get("ceiling_low", -math.inf) >= LEAST_GAIN:
        return (
            f"even a perfect choice takes only {100 * numbers['ceiling']:.2g} % off the error of a single candidate "
            "(search.force=true searches all the same)"
        )
    for name, said in (
        ("rank_correlation", "the reward does not know which candidate errs least"),
        ("beyond_mean", "the reward knows no more than how far a candidate is from their mean"),
    ):
        low, high = numbers.get(f"{name}_low", -math.inf), numbers.get(f"{name}_high", math.inf)
        if not low > 0:
            return (
                f"{said}: rank correlation {numbers.get(name, math.nan):.2f} [{low:.2f}, {high:.2f}] "
                "(search.force=true searches all the same)"
            )
    if numbers.get("gain_high", math.inf) < numbers.get("gain_of_mean_low", -math.inf):
        return (
            f"it takes {100 * numbers['gain']:.2g} % off the error of a single candidate, the mean of as many "
            f"{100 * numbers['gain_of_mean']:.2g} % at the same calls (search.force=true searches all the same)"
        )
    return ""


@torch.no_grad()
def one_step_errors(stepper: Stepper, data: Trajectory) -> np.ndarray:
    """Return the error of each trajectory one frame ahead of true ones: the mean of root mean squares over fields."""
    frames = data.values.shape[1]
    places = torch.linspace(stepper.num_context, frames - 1, MOST_STEPS).round().int().unique().tolist()
    found = []
    for place in places:
        made = stepper.decode(stepper.advance(stepper.encode(data.values[:, :place], data.params)))
        differs = (made - data.values[:, place]).double()
        found.append(differs.square().flatten(2).mean(2).sqrt().mean(1))
    return torch.stack(found).mean(0).cpu().numpy()


def _known(windows: Windows, name: RewardName) -> float:
    return correlation(windows, windows.rewards[name]).mean


def _interval(found: Interval) -> str:
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _percent(found: Interval) -> str:
    low, high = (f"{100 * end:.2g}" for end in (found.low, found.high))
    return f"{100 * found.mean:.2g} % [{low}, {high}]"
