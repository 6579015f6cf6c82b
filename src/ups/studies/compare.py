"""`ups compare`: finished runs side by side. What differs in them, what that did, what it cost.

Runs that differ in the seed alone are one group. The first group is the one that others are compared with, rung by
rung, on the test trajectories that all of them were shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ups.config import digest
from ups.evaluation.metrics import MORE_IS_BETTER
from ups.evaluation.rows import trajectory_scores
from ups.reports.run_folder import Question, RunFolder, read_run
from ups.statistics.bootstrap import Interval, bootstrap_mean, paired_level
from ups.statistics.families import holm_levels
from ups.studies.confounds import ABSENT, Confound, confounds
from ups.studies.folder import VariantRuns, identities, paired
from ups.studies.study import Decision, PrimaryMetric
from ups.studies.verdicts import UNKNOWN, Judgement, can_be_judged, judge
from ups.types import UserError

MIN_RUNS = 2
LEVEL = 0.05
"""Of all verdicts of a page together."""
SAME = "within noise: the same numbers"


@dataclass(frozen=True)
class Group:
    """Runs of equal settings, seed aside."""

    name: str
    runs: tuple[RunFolder, ...]

    @property
    def first(self) -> RunFolder:
        """The run of the lowest seed."""
        return self.runs[0]

    @property
    def records(self) -> list[dict]:
        """What their run.json say."""
        return [run.record.model_dump(mode="json") for run in self.runs]

    def scored_by(self, metric: PrimaryMetric) -> VariantRuns:
        """Return their scores by one metric."""
        folders = tuple(run.path for run in self.runs)
        seeds = tuple(run.record.seed for run in self.runs)
        return VariantRuns(self.name, (), seeds, folders, tuple(self.records), metric, {})


class RungDifference(NamedTuple):
    """A rung of one group against the same rung of the first group; no judgement in the first."""

    rung: str
    group: str
    error: Interval
    judgement: Judgement | None
    by_frame: tuple[float, float] | None
    """The relative change over the first and over the last quarter of the frames; None without frames."""


class Comparison(NamedTuple):
    """All that the page says of some runs."""

    groups: tuple[Group, ...]
    question: Question
    differing: dict[str, list[Confound]]
    """By group: in what it differs from the first, settings and surroundings."""
    equal: tuple[str, ...]
    """Rungs whose numbers are the same in all runs."""
    headline: str
    """The rung to speak of first."""
    lines: tuple[RungDifference, ...]


def compare(folders: Sequence[Path]) -> Comparison:
    """Read finished runs and compare them by the metric that ranks the ladder of the first.

    Raises:
        UserError: fewer than two runs, one is damaged, not finished or of another bench, or no rung is in all.
    """
    if len(folders) < MIN_RUNS:
        raise UserError("ups compare: give two runs or more")
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if not run.physics.finished:
            raise UserError(
                f"{run.path}: the run is not finished; `ups run` with the same settings finishes it"
            )
    groups = grouped(runs)
    question = runs[0].questions[0]
    each = [set(trajectory_scores(run.rows, question.name, question.metric)) for run in runs]
    common = set.intersection(*each)
    rungs = tuple(rung.name for rung in runs[0].rungs if rung.name in common)
    if not rungs:
        raise UserError(
            f"{folders[-1]}: has no rung in common with {folders[0]} under protocol {question.name}"
        )
    differing = {group.name: all_that_differs(groups[0], group) for group in groups[1:]}
    lines = [Pair(groups[0], group, rung, question) for rung in rungs for group in groups]
    asked = [line for line in lines if line.is_asked(differing)]
    levels = holm_levels([paired_level(line.mine.scores, line.other.scores) for line in asked], LEVEL)
    settled = {(line.rung, line.group.name): level for line, level in zip(asked, levels, strict=True)}
    judged = tuple(line.judged(differing, settled.get((line.rung, line.group.name), LEVEL)) for line in lines)
    equal = tuple(
        rung
        for rung in rungs
        if all(line.judgement is None or line.judgement.text == SAME for line in judged if line.rung == rung)
    )
    return Comparison(groups, question, differing, equal, headline(runs[0], rungs, equal), judged)


def headline(run: RunFolder, rungs: Sequence[str], equal: Sequence[str]) -> str:
    """Return the rung to speak of first: the highest of ours whose numbers differ, else the highest that differs."""
    ours = [rung.name for rung in run.rungs if rung.kind == "ours"]
    differ = [name for name in rungs if name not in equal]
    return next(reversed([name for name in differ if name in ours] or differ or list(rungs)))


def grouped(runs: Sequence[RunFolder]) -> tuple[Group, ...]:
    """Put runs of equal settings, seed aside, into one group; one run given twice is two groups."""
    found: dict[tuple[str, int], list[RunFolder]] = {}
    for run in runs:
        settings = {key: value for key, value in run.record.settings.items() if key != "seed"}
        key = digest(settings)
        copies = sum(run.record.seed == other.record.seed for other in found.get((key, 0), []))
        found.setdefault((key, copies), []).append(run)
    groups, taken = [], set()
    for members in found.values():
        members.sort(key=lambda run: run.record.seed)
        name = members[0].path.resolve().name
        if len(members) > 1:
            name = re.sub(r"-seed\d+$", "", name)
        while name in taken:
            name += "'"
        taken.add(name)
        groups.append(Group(name, tuple(members)))
    return tuple(groups)


def all_that_differs(base: Group, group: Group) -> list[Confound]:
    """Return every setting, version, machine and data digest that differs between the runs of two groups.

    Runs are compared seed by seed, those without a partner with the first of the other group. Settings of a kind that
    one of them does not have are told by the kind alone.
    """
    partners = {run.record.seed: run for run in base.runs}
    mine = [run.record.model_dump(mode="json") for run in group.runs]
    others = [partners.get(run.record.seed, base.first).record.model_dump(mode="json") for run in group.runs]
    found = confounds(others, mine, ())
    kinds = [each.path.removesuffix("kind") for each in found if each.path.endswith(".kind")]
    return [
        each
        for each in found
        if each.path.endswith(".kind")
        or not any(each.path.startswith(kind) and ABSENT in (each.base, each.variant) for kind in kinds)
    ]


@dataclass(frozen=True)
class Pair:
    """A rung of a group and the same rung of the first group, on what both were shown."""

    base: Group
    group: Group
    rung: str
    question: Question

    @property
    def metric(self) -> PrimaryMetric:
        """What ranks."""
        asked = self.question
        better = smaller(asked)
        return PrimaryMetric(
            protocol=asked.name, stepper=self.rung, metric=asked.metric, smaller_is_better=better
        )

    @cached_property
    def both(self) -> tuple[VariantRuns, VariantRuns]:
        """The runs of equal seeds of the group and of the first one."""
        mine, other = self.group.scored_by(self.metric), self.base.scored_by(self.metric)
        return paired(mine.only(other.seeds), other.only(mine.seeds))

    @property
    def mine(self) -> VariantRuns:
        """The runs of the group."""
        return self.both[0]

    @property
    def other(self) -> VariantRuns:
        """Those of the first group."""
        return self.both[1]

    def is_asked(self, differing: Mapping[str, Sequence[Confound]]) -> bool:
        """Return whether an interval decides: another group, one thing that differs, enough seeds, other numbers."""
        return (
            self.group is not self.base
            and len(differing[self.group.name]) == 1
            and self.mine.kept != ()
            and can_be_judged(self.mine.scores, self.other.scores)
            and not np.array_equal(self.mine.scores, self.other.scores)
        )

    def judged(self, differing: Mapping[str, Sequence[Confound]], level: float) -> RungDifference:
        """Say what the group does to the rung, at a level that all verdicts share."""
        error = bootstrap_mean(self.group.scored_by(self.metric).scores)
        if self.group is self.base:
            return RungDifference(self.rung, self.group.name, error, None, None)
        if self.mine.kept == ():
            said = Judgement("no verdict", "no verdict: tested on other trajectories", UNKNOWN)
            return RungDifference(self.rung, self.group.name, error, said, None)
        said = judge(
            self.mine.scores, self.other.scores, Decision(confidence=1.0 - level), smaller(self.question)
        )
        found = differing[self.group.name]
        if self.mine.scores.size and np.array_equal(self.mine.scores, self.other.scores):
            said = said._replace(word="within noise", text=SAME)
        elif len(found) > 1:
            names = ", ".join(each.path for each in found[:3]) + (", ..." if len(found) > 3 else "")
            said = said._replace(word="no verdict", text=f"no verdict: {len(found)} things differ ({names})")
        ends = by_frame(self.base.first, self.group.first, self.rung, self.question)
        return RungDifference(self.rung, self.group.name, error, said, ends)


def smaller(question: Question) -> bool:
    """Return whether the metric that ranks is an error."""
    return question.metric not in MORE_IS_BETTER


def by_frame(base: RunFolder, run: RunFolder, rung: str, question: Question) -> tuple[float, float] | None:
    """Return the relative change over the first and the last quarter of the frames, on trajectories of both runs."""
    found = [each.curves(question.name, question.metric).get(rung) for each in (base, run)]
    curves = [curve for curve in found if curve is not None]
    tested = [identities(each.path) for each in (base, run)]
    if len(curves) < MIN_RUNS or not all(tested) or not np.array_equal(curves[0].time, curves[1].time):
        return None
    places = [dict(zip(names, range(len(names)), strict=True)) for names in tested]
    common = [name for name in tested[0] if name in places[1]]
    if not common:
        return None
    old, new = (
        curve.value[[place[name] for name in common]].mean(0)
        for curve, place in zip(curves, places, strict=True)
    )
    quarter = max(1, len(old) // 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [new[part].mean() / old[part].mean() - 1.0 for part in (slice(quarter), slice(-quarter, None))]
    sign = -1.0 if smaller(question) else 1.0
    return 0.0 + sign * float(ends[0]), 0.0 + sign * float(ends[1])
