"""The verdict of a study: better, worse, within noise, or not enough seeds; by a rule that was written down before."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from ups.statistics.bootstrap import Interval, paired_bootstrap, size
from ups.studies.study import Decision

MIN_SEEDS = 3
"""Student's factor for 95 % is 4.3 standard errors with three seeds and 12.7 with two, which finds next to nothing."""

Word = Literal["better", "worse", "within noise", "too small to matter", "not enough seeds", "no verdict"]
Scores = Float[np.ndarray, "seed trajectory"]

UNKNOWN = Interval(np.nan, np.nan, np.nan)


class Judgement(NamedTuple):
    """What a variant does to the metric of the base, as a word and as a text.

    `effect` is the relative change, positive where the variant is better: the share of the error removed, or of a
    metric gained of which more is better. It is NaN where it cannot be told.
    """

    word: Word
    text: str
    effect: Interval


def judge(
    variant: Scores,
    base: Float[np.ndarray, "seed other_trajectory"],
    decision: Decision,
    smaller_is_better: bool = True,
) -> Judgement:
    """Decide by the rule of `rule`, from the metric per seed and test trajectory, paired in both.

    The interval is that of `paired_bootstrap`, over seeds and trajectories. A run that is not finite on a trajectory
    loses against one that is; where both are not there is no verdict.
    """
    if variant.shape != base.shape:
        return Judgement("no verdict", "no verdict: not the same number of test trajectories", UNKNOWN)
    num_seeds, num_trajectories = base.shape
    lost, base_lost = (int((~np.isfinite(values).all(0)).sum()) for values in (variant, base))
    blown_up = bool(lost or base_lost)
    effect = (
        UNKNOWN
        if blown_up or not num_seeds or not num_trajectories
        else effect_of(variant, base, decision.confidence, smaller_is_better)
    )
    if num_seeds < MIN_SEEDS:
        return Judgement("not enough seeds", f"not enough seeds: {num_seeds} of at least {MIN_SEEDS}", effect)
    if blown_up:
        word: Word = "no verdict" if lost and base_lost else "worse" if lost else "better"
        text = f"{word}: not finite on {lost} of {num_trajectories} trajectories, the base on {base_lost}"
        return Judgement(word, text, effect)
    if effect.low <= 0.0 <= effect.high:
        return Judgement("within noise", "within noise", effect)
    word = "better" if effect.mean > 0.0 else "worse"
    if 100.0 * abs(effect.mean) < decision.minimal_percent:
        text = f"too small to matter: {word} by less than {decision.minimal_percent:g} %"
        return Judgement("too small to matter", text, effect)
    return Judgement(word, f"{word} by {size(effect)}", effect)


def can_be_judged(variant: Scores, base: Scores) -> bool:
    """Return whether `judge` decides by an interval: enough seeds, the same trajectories, and all finite."""
    return (
        variant.shape == base.shape
        and base.shape[0] >= MIN_SEEDS
        and base.shape[1] > 0
        and bool(np.isfinite(variant).all() and np.isfinite(base).all())
    )


def effect_of(variant: Scores, base: Scores, confidence: float, smaller_is_better: bool) -> Interval:
    """Return the relative change of the mean, positive where the variant is better, and its paired interval."""
    removed = paired_bootstrap(variant, base, confidence=confidence)
    return removed if smaller_is_better else Interval(-removed.mean, -removed.high, -removed.low)


def effect_by_seed(variant: Scores, base: Scores, smaller_is_better: bool) -> Float[np.ndarray, " seed"]:
    """Return the relative change of the mean over trajectories for each pair of runs, positive is better."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = variant.mean(1) / base.mean(1) - 1.0
    return -change if smaller_is_better else change


def rule(decision: Decision, units: str = "test trajectories", num_judged: int = 1) -> str:
    """Say the rule in a few sentences; `units` is what a run has several values of the metric for."""
    confidence = f"{100.0 * decision.confidence:g} %"
    matters = (
        f" and the change is at least {decision.minimal_percent:g} %" if decision.minimal_percent else ""
    )
    shared = (
        f" The {num_judged} verdicts share that confidence (Holm): intervals are as wide as it takes for all verdicts "
        f"together to be right in {confidence} of such studies."
        if num_judged > 1
        else ""
    )
    return (
        f"A variant is better or worse if the {confidence} interval of the paired relative change of the metric, over "
        f"seeds and {units}, excludes zero{matters}; fewer than {MIN_SEEDS} seeds give no verdict.{shared}"
    )
