"""Intervals and verdicts: is one stepper better than another beyond noise? Paired bootstrap, said in words.

Values are errors (less is better) of one number per test trajectory, shape [trajectory], or of several paired seeds,
shape [seed, trajectory]. Trajectories and seeds are resampled independently and shared by all that is compared: the
same test trajectory is hard for everyone, and the pairing takes that out of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from ups.statistics.quantiles import student_quantile
from ups.streams import stream

Values = Float[np.ndarray, "trajectory"] | Float[np.ndarray, "seed trajectory"]
Grid = Float[np.ndarray, "seed trajectory"]
Number = Float[np.ndarray, "..."] | float

SETTLED = 0.95
"""Beyond this confidence the resamples of a few seeds say nothing of the tails (three seeds have ten different means),
and the interval widens as Student's does."""
NUM_DRAWN_AT_ONCE = 1_000_000  # bounds the memory of a bootstrap, whatever the number of trajectories


class Interval(NamedTuple):
    """An estimate with a confidence interval around it."""

    mean: float
    low: float
    high: float


class Verdict(NamedTuple):
    """What a variant does to the error of its baseline, as a word, as a text and as a number.

    `skill` is 1 - error / error of the baseline. `scope` says over what the interval was taken.
    """

    word: Literal["buys", "harms", "within noise", "no verdict"]
    text: str
    scope: str
    skill: Interval


def bootstrap_mean(
    values: Values, num_resamples: int = 10_000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Return the mean and its bootstrap interval; both ends are the mean if a value is infinite.

    The same seed gives the same resamples as `paired_bootstrap`. See `paired_bootstrap` for the interval.
    """
    grid = np.atleast_2d(np.asarray(values, dtype=np.float64))
    mean = float(grid.mean())
    if not np.isfinite(grid).all():
        return Interval(mean, mean, mean)
    return _interval(mean, _resampled_means([grid], num_resamples, seed)[0], grid, confidence)


def paired_bootstrap(
    variant: Values,
    baseline: Values,
    num_resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Return the skill 1 - mean(variant) / mean(baseline), the share of the error removed, and its interval.

    Both means of a resample are taken over the same trajectories and seeds. With several seeds, seeds and
    trajectories are resampled independently (the pigeonhole bootstrap, Owen 2007, doi:10.1214/07-AOAS122, which
    errs on the wide side). The percentiles are then moved away from the estimate as far as Student's interval is
    wider than the bootstrap's: without that, 3 seeds cover at most 75 % where 95 % are stated. One seed with one
    trajectory has an infinite interval.

    Raises:
        ValueError: a value is not finite; `verdict` handles what blows up.
    """
    grid, reference = (np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (variant, baseline))
    if not (np.isfinite(grid).all() and np.isfinite(reference).all()):
        raise ValueError("a value is not finite")
    skill = float(_skill(grid.mean(), reference.mean()))
    if not np.isfinite(skill):
        return Interval(skill, skill, skill)
    resampled = np.asarray(_skill(*_resampled_means([grid, reference], num_resamples, seed)))
    # The ratio of means, linearized: its variance over seeds and trajectories is that of this grid's mean.
    influence = (1.0 - skill) * reference - grid
    return _interval(skill, resampled, influence, confidence)


def paired_level(
    variant: Values, baseline: Values, num_resamples: int = 10_000, seed: int = 0, least: float = 1e-6
) -> float:
    """Return the p-value that belongs to `paired_bootstrap`: 1 - the highest confidence that excludes a skill of 0.

    Found by halving on a logarithmic scale to 1 %; at least `least`.

    Raises:
        ValueError: a value is not finite.
    """
    grid, reference = (np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (variant, baseline))
    if not (np.isfinite(grid).all() and np.isfinite(reference).all()):
        raise ValueError("a value is not finite")
    skill = float(_skill(grid.mean(), reference.mean()))
    if not np.isfinite(skill):
        return least
    resampled = np.sort(np.asarray(_skill(*_resampled_means([grid, reference], num_resamples, seed))))
    influence = (1.0 - skill) * reference - grid

    def excluded(level: float) -> bool:
        _, low, high = _interval(skill, resampled, influence, 1.0 - level)
        return not low <= 0.0 <= high

    low, high = np.log(least), 0.0
    while high - low > 0.01:
        middle = (low + high) / 2.0
        low, high = (low, middle) if excluded(np.exp(middle)) else (middle, high)
    return float(np.exp(high))


def verdict(variant: Values, baseline: Values, seed: int = 0, confidence: float = 0.95) -> Verdict:
    """Say what a variant does to the error: "buys 18 % ± 3", "harms a factor of 29 [22, 37]" or "within noise".

    The rule: it buys or harms if the interval of the skill excludes 0; `size` writes how much.
    If one of the two blows up (an infinite error), it loses; if both do, there is no verdict. With one seed the
    interval is over trajectories only, and `scope` says so: it compares these two steppers, not the methods that
    made them (`verdict_between_runs`).
    """
    grid, reference = np.atleast_2d(variant), np.atleast_2d(baseline)
    num_seeds, num_trajectories = grid.shape
    scope = (
        f"over {num_trajectories} trajectories, one seed"
        if num_seeds == 1
        else f"over {num_seeds} seeds and {num_trajectories} trajectories"
    )
    lost, reference_lost = (~np.isfinite(values).all(0) for values in (grid, reference))
    if lost.any() or reference_lost.any():
        word, text = _blown_up(int(lost.sum()), int(reference_lost.sum()), num_trajectories)
        return Verdict(word, text, scope, Interval(np.nan, np.nan, np.nan))
    skill = paired_bootstrap(variant, baseline, seed=seed, confidence=confidence)
    if skill.low <= 0.0 <= skill.high:
        return Verdict("within noise", "within noise", scope, skill)
    word = "buys" if skill.mean > 0.0 else "harms"
    return Verdict(word, f"{word} {size(skill)}", scope, skill)


def verdict_between_runs(
    variant: Values, baseline: Values, seed: int = 0, confidence: float = 0.95
) -> Verdict:
    """Say what a change of training does. The rule of `verdict`, but one seed gives no verdict.

    Two trainings that differ by the seed alone differ too (2 to 40 % have been seen), on every trajectory alike, so
    no number of trajectories replaces a second seed.
    """
    said = verdict(variant, baseline, seed, confidence)
    if np.atleast_2d(variant).shape[0] > 1:
        return said
    return said._replace(word="no verdict", text="no verdict: one seed")


def _skill(error: Number, reference: Number) -> Number:
    """1 - error / reference; two errors of zero have a skill of 0."""
    error, reference = np.asarray(error), np.asarray(reference)
    ratio = np.where(error == 0.0, 1.0, np.inf)
    return 1.0 - np.divide(error, reference, out=ratio, where=reference != 0.0)


def _resampled_means(
    grids: Sequence[Grid], num_resamples: int, seed: int
) -> Float[np.ndarray, "grid resample"]:
    """Return the mean of every grid in every resample, the same seeds and trajectories drawn for all of them."""
    stacked = np.stack(grids)
    _, num_seeds, num_trajectories = stacked.shape
    draw = {name: stream(seed, f"bootstrap/{name}") for name in ("seeds", "trajectories")}
    size = max(1, NUM_DRAWN_AT_ONCE // (num_seeds * num_trajectories))
    means = []
    for start in range(0, num_resamples, size):
        num = min(size, num_resamples - start)
        seeds = torch.randint(num_seeds, (num, num_seeds), generator=draw["seeds"]).numpy()
        trajectories = torch.randint(
            num_trajectories, (num, num_trajectories), generator=draw["trajectories"]
        )
        over_seeds = stacked[:, seeds].mean(2)
        means.append(np.take_along_axis(over_seeds, trajectories.numpy()[None], axis=-1).mean(-1))
    return np.concatenate(means, axis=1)


def _interval(
    estimate: float, resampled: Float[np.ndarray, "resample"], influence: Grid, confidence: float
) -> Interval:
    if influence.size == 1:
        return Interval(estimate, -np.inf, np.inf)
    settled = min(confidence, SETTLED)
    levels = ((1.0 - settled) / 2.0, (1.0 + settled) / 2.0)
    low, high = np.quantile(resampled, levels, method="inverted_cdf")
    stretch = _stretch(influence, settled, confidence)
    return Interval(
        estimate, float(estimate + stretch * (low - estimate)), float(estimate + stretch * (high - estimate))
    )


def _stretch(influence: Grid, settled: float, confidence: float) -> float:
    """Return how much wider Student's interval of a confidence is than the bootstrap's of `settled`.

    The mean of n values has variance s^2 / n, its bootstrap (n - 1) / n of that; and the normal quantile becomes
    Student's, its degrees of freedom after Welch and Satterthwaite from the parts of seeds and of trajectories. Beyond
    `settled` each part widens by its own quantile (as in Graybill and Wang 1980, J. Am. Stat. Assoc. 75, 869): where
    three seeds happen to agree, Welch's many degrees of freedom would call the tails light.
    """
    parts = [
        (np.var(means, ddof=1) / len(means), len(means) - 1)
        for means in (influence.mean(1), influence.mean(0))
        if len(means) > 1
    ]
    variance = sum(part for part, _ in parts)
    if variance == 0.0:
        return 1.0
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    of_bootstrap = sum(part * degrees / (degrees + 1) for part, degrees in parts)

    def width(level: float) -> float:
        return np.sqrt(sum(student_quantile((1.0 + level) / 2.0, float(d)) ** 2 * part for part, d in parts))

    wide = student_quantile((1.0 + settled) / 2.0, freedom)
    tails = width(confidence) / width(settled) if confidence > settled else 1.0
    return float(
        tails * wide / NormalDist().inv_cdf((1.0 + settled) / 2.0) * np.sqrt(variance / of_bootstrap)
    )


def _blown_up(lost: int, reference_lost: int, num: int) -> tuple[Literal["buys", "harms", "no verdict"], str]:
    if not reference_lost:
        return "harms", f"harms: blows up on {lost} of {num} trajectories"
    if not lost:
        return "buys", f"buys: the baseline blows up on {reference_lost} of {num} trajectories"
    return "no verdict", f"no verdict: both blow up, on {lost} and {reference_lost} of {num} trajectories"


def size(skill: Interval) -> str:
    """Write the size of a skill: "18 % ± 3", and beyond twice or a tenth of the error "a factor of 387 [350, 430]".

    The factor is how many times smaller, or larger, one error is than the other.
    """
    ratio = 1.0 - skill.mean
    if ratio <= 0.0:
        return "all of it"
    if 0.1 <= ratio <= 2.0:
        return plus_minus(skill)
    ends = [max(0.0, 1.0 - skill.high), 1.0 - skill.low]
    if ratio < 0.1:
        ratio = 1.0 / ratio
        ends = [1.0 / end if end > 0.0 else np.inf for end in reversed(ends)]
    return f"a factor of {_digits(ratio)} [{_digits(ends[0])}, {_digits(ends[1])}]"


def _digits(factor: float) -> str:
    if np.isinf(factor):
        return "∞"
    return (
        f"{factor:.3g}"
        if factor < 1000
        else f"{float(f'{factor:.2g}'):,.0f}"
        if factor < 1e6
        else f"{factor:.1e}"
    )


def plus_minus(skill: Interval) -> str:
    """Write the size of a fraction as "18 % ± 3", with as many decimals as the half width needs to show one digit."""
    half = 50.0 * (skill.high - skill.low)
    decimals = next((digits for digits in range(4) if round(half, digits) > 0.0), 0)
    return f"{abs(100.0 * skill.mean):.{decimals}f} % ± {half:.{decimals}f}"
