"""The ladder of a run under one protocol: the error of every rung and what it buys over the rung below."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from ups.reports.run_folder import Question, RunFolder, Rung
from ups.statistics.bootstrap import Interval, Verdict, bootstrap_mean, verdict

NOT_SCORED = Interval(np.nan, np.nan, np.nan)
ORDER = ("trivial", "solver", "baseline", "ours")
Scores = dict[str, Float[np.ndarray, "seed trajectory"]]


@dataclass(frozen=True)
class LadderRow:
    """One rung under one protocol; `error` is NaN where it was not scored, and `reason` then says why.

    `below` names the rung that `verdict` compares with. `skill` is 1 - error / error of persistence. `num_blown_up`
    counts the trajectories with an infinite error; the mean is then infinite too, the median may not be. `mean_error`
    and `mean_verdict` are of the question's `mean_metric`, where it has one: what the mean of the members is worth.
    """

    rung: Rung
    error: Interval = NOT_SCORED
    median: float = np.nan
    num_trajectories: int = 0
    num_blown_up: int = 0
    below: str | None = None
    verdict: Verdict | None = None
    skill: Interval | None = None
    mean_error: Interval | None = None
    mean_verdict: Verdict | None = None
    cost: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def scored(self) -> bool:
        """Whether the rung has an error, be it infinite."""
        return not np.isnan(self.error.mean)


@dataclass(frozen=True)
class LadderTable:
    """All rungs under one protocol, in the order of the ladder."""

    question: Question
    rungs: tuple[Rung, ...]
    scores: Scores
    rows: tuple[LadderRow, ...]

    def row(self, name: str) -> LadderRow:
        """Return the row of a rung."""
        return next(row for row in self.rows if row.rung.name == name)

    def of_kind(self, *kinds: str) -> list[LadderRow]:
        """Return the scored rows of some kinds."""
        return [row for row in self.rows if row.rung.kind in kinds and row.scored]

    def best(self, kind: str) -> str | None:
        """Return the rung of a kind with the lowest mean error; the median decides between those that blow up."""
        return best(self.rungs, self.scores, kind)

    def compare(self, name: str, other: str) -> Verdict:
        """Return what one rung does to the error of another, paired over the test trajectories."""
        return verdict(self.scores[name], self.scores[other])


def ladder_table(run: RunFolder, question: Question) -> LadderTable:
    """Score every rung under a protocol.

    The rung below one of ours is our previous one, and the best baseline for the first of them; a baseline stands on
    the best solver and a solver on the best trivial baseline. Where a kind is missing, the next lower one takes its
    place. A point forecast stands on point forecasts only. A reference stands on nothing.
    """
    scores = run.scores(question.name, question.metric)
    of_mean = run.scores(question.name, question.mean_metric) if question.mean_metric else {}
    reasons = run.physics.not_scored.get(question.name, {})
    rows = []
    for rung in run.rungs:
        if rung.name in scores:
            rows.append(_scored(run, rung, scores, of_mean))
        elif rung.kind != "reference" or rung.name in reasons:
            rows.append(
                LadderRow(rung, cost=run.costs.get(rung.name, {}), reason=reasons.get(rung.name, "no rows"))
            )
    return LadderTable(question, run.rungs, scores, tuple(rows))


def best(rungs: tuple[Rung, ...], scores: Scores, kind: str) -> str | None:
    """Return the scored rung of a kind with the lowest mean error; the median decides between those that blow up."""
    names = [rung.name for rung in rungs if rung.kind == kind and rung.name in scores]
    return min(names, key=lambda name: (scores[name].mean(), np.median(scores[name])), default=None)


def ratio_of(skill: Interval) -> Interval:
    """Return error / error of the other, given the skill that `Verdict` and `paired_bootstrap` state."""
    return Interval(1.0 - skill.mean, 1.0 - skill.high, 1.0 - skill.low)


def rung_below(rung: Rung, rungs: tuple[Rung, ...], scores: Scores) -> str | None:
    """Return the rung that one is judged against; see `ladder_table`."""
    if rung.kind not in ORDER:
        return None
    comparable = tuple(other for other in rungs if other.num_members == 1 or rung.num_members > 1)
    ours = [
        other.name for other in rungs[: rungs.index(rung)] if other.kind == "ours" and other.name in scores
    ]
    if rung.kind == "ours" and ours:
        return ours[-1]
    lower = reversed(ORDER[: ORDER.index(rung.kind)])
    return next((name for kind in lower if (name := best(comparable, scores, kind))), None)


def _scored(run: RunFolder, rung: Rung, scores: Scores, of_mean: Scores) -> LadderRow:
    score, of_my_mean = scores[rung.name], of_mean.get(rung.name)
    below = rung_below(rung, run.rungs, scores)
    compared = "persistence" in scores and rung.name != "persistence" and rung.kind != "reference"
    return LadderRow(
        rung,
        error=bootstrap_mean(score),
        median=float(np.median(score)),
        num_trajectories=score.shape[1],
        num_blown_up=int(np.isinf(score).any(0).sum()),
        below=below,
        verdict=verdict(score, scores[below]) if below else None,
        skill=verdict(score, scores["persistence"]).skill if compared else None,
        mean_error=None if of_my_mean is None else bootstrap_mean(of_my_mean),
        mean_verdict=verdict(of_my_mean, of_mean[below]) if of_my_mean is not None and below else None,
        cost=run.costs.get(rung.name, {}),
    )
