"""The verdict of a run in one sentence, and the findings below it; it says so when ours loses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ups.reports.ladder_table import LadderRow, LadderTable, ratio_of
from ups.reports.run_folder import RunFolder
from ups.reports.wording import interval, metric_name, number, percent
from ups.statistics.bootstrap import Verdict

REFERENCE_FLOOR = 3e-3  # below this, the error of the reference solution itself begins to count
_GROUPS = {
    "baseline": "the best baseline",
    "solver": "the coarse solver",
    "trivial": "the best trivial baseline",
}


class Headline(NamedTuple):
    """One sentence, how its numbers were made, and further findings."""

    sentence: str
    basis: str
    findings: tuple[str, ...]


def headline(run: RunFolder, table: LadderTable) -> Headline:
    """Return the verdict on our best rung against the best baseline, or against what stands below if there is none."""
    row = leader(table)
    if row is None:
        return Headline("None of the rungs could be scored.", "", ())
    if row.rung.kind != "ours":
        sentence = f"No rung of ours was scored; the lowest error is that of {_with_error(row, table)}."
        return Headline(sentence, _basis(run, table, row), tuple(_findings(run, table, row)))
    kind, opponent = next(((kind, name) for kind in _GROUPS if (name := table.best(kind))), ("", None))
    ours = "Our best rung" if len(table.of_kind("ours")) > 1 else "Ours"
    sentence = f"{ours}, {row.rung.name}, has {_error(row, table)}"
    if opponent:
        other = table.row(opponent)
        relation = _relation(table.compare(row.rung.name, opponent))
        sentence += f"{relation} {_GROUPS[kind]}, {opponent}, {_at(other)}."
    else:
        sentence += "; nothing stands beside it, so this is no verdict."
    return Headline(sentence, _basis(run, table, row), tuple(_findings(run, table, row)))


def leader(table: LadderTable) -> LadderRow | None:
    """Return our rung with the lowest error, or the lowest of all if none of ours was scored."""
    rows = table.of_kind("ours") or table.of_kind("trivial", "solver", "baseline", "")
    return min(rows, key=lambda row: (row.error.mean, row.median), default=None)


def _relation(found: Verdict) -> str:
    if found.word == "no verdict":
        return "; it blows up on some trajectories, and so does"
    if found.word == "within noise":
        return ": not distinguishable from"
    if not np.isfinite(found.skill.mean):
        return ", without blowing up as does" if found.word == "buys" else "; it loses to"
    kept = 1.0 - found.skill.mean
    if kept <= 0:
        return ": without error, unlike"
    if found.word == "buys":
        return f": {number(1.0 / kept, 2)} times below"
    return f": it loses, {number(kept, 2)} times above"


def _value(row: LadderRow) -> str:
    if row.num_blown_up:
        return f"blows up on {row.num_blown_up} of {row.num_trajectories} trajectories, median {number(row.median)}"
    return f"{number(row.error.mean)} {interval(row.error.low, row.error.high)}"


def _at(row: LadderRow) -> str:
    return f"which {_value(row)}" if row.num_blown_up else f"at {_value(row)}"


def _error(row: LadderRow, table: LadderTable) -> str:
    if row.num_blown_up:
        return f"an infinite mean {metric_name(table.question.metric)} ({_value(row)})"
    if table.question.mean_metric:
        return f"a {metric_name(table.question.metric)} of {_value(row)}"
    return f"an error of {_value(row)} {metric_name(table.question.metric)}"


def _with_error(row: LadderRow, table: LadderTable) -> str:
    return f"{row.rung.name}, {_error(row, table).removeprefix('an error of ')}"


def _basis(run: RunFolder, table: LadderTable, row: LadderRow) -> str:
    seeds = (
        "One seed: intervals are over test trajectories, so they compare these networks, not the methods behind them."
        if run.num_seeds == 1
        else f"Intervals are over {run.num_seeds} seeds and the test trajectories."
    )
    num_ours = len(table.of_kind("ours"))
    chosen = f" Our best of {num_ours} was picked on these same trajectories." if num_ours > 1 else ""
    description = f" ({table.question.description})" if table.question.description else ""
    return (
        f"Protocol {table.question.name}{description}. Mean of {metric_name(table.question.metric)} over "
        f"{row.num_trajectories} test trajectories, with its 95 % interval. {seeds}{chosen}"
    )


def _findings(run: RunFolder, table: LadderTable, row: LadderRow) -> Iterator[str]:
    solver = table.best("solver")
    for ours in table.of_kind("ours"):
        said_below = ours.rung.name == row.rung.name and ours.below == solver  # there with what it costs
        if ours.below and ours.verdict and not said_below:
            yield f"{ours.rung.name}: {ours.verdict.text}, against {ours.below}."
        if ours.rung.num_members > 1:
            yield from _about_the_ensemble(table, ours)
    if solver and solver != row.rung.name:
        found = table.compare(row.rung.name, solver)
        yield f"{row.rung.name}: {found.text}, against {solver}{_speed(table, row.rung.name, solver)}."
    for reference in table.of_kind("reference"):
        if reference.rung.num_members > 1:
            yield from _about_the_perfect(table, reference, row)
            continue
        share = reference.error.mean / row.error.mean if row.error.mean else np.inf
        if 0.005 < share < np.inf:
            yield (
                f"{reference.rung.name} is a reference: it sees the truth and still has "
                f"{number(reference.error.mean)}, {percent(share)} of the error of {row.rung.name}."
            )
    for other in table.rows:
        if other.num_blown_up:
            yield f"{other.rung.name} {_value(other)}."
    for name, stage in run.record.stages.items():
        if stage.finding:
            yield f"Training of {name}: {stage.finding}."
    yield from _about_the_truth(run, row)


def _about_the_ensemble(table: LadderTable, row: LadderRow) -> Iterator[str]:
    """Compare an ensemble of ours with every ensemble among the baselines, and its mean with the rung below."""
    for baseline in table.of_kind("baseline"):
        if baseline.rung.num_members > 1 and baseline.rung.name != row.below:
            found = table.compare(row.rung.name, baseline.rung.name)
            yield f"{row.rung.name}: {found.text}, against {baseline.rung.name}."
    if row.mean_verdict:
        metric = metric_name(table.question.mean_metric)
        mean = f"the mean of its {row.rung.num_members} members"
        yield f"{row.rung.name}, {mean}: {row.mean_verdict.text} in {metric}, against {row.below}."


def _about_the_perfect(table: LadderTable, reference: LadderRow, row: LadderRow) -> Iterator[str]:
    ratio = ratio_of(table.compare(row.rung.name, reference.rung.name).skill)
    if np.isfinite(ratio.mean):
        yield (
            f"{row.rung.name} has {number(ratio.mean)} {interval(ratio.low, ratio.high)} times the "
            f"{metric_name(table.question.metric)} of {reference.rung.name}, which knows the law of the data: no "
            "forecast can expect less than that has."
        )


def _speed(table: LadderTable, name: str, other: str) -> str:
    mine, theirs = (table.row(rung).cost.get("ms_per_frame", 0.0) for rung in (name, other))
    if not (mine > 0 and theirs > 0):
        return ""
    ratio, word = (theirs / mine, "less") if mine < theirs else (mine / theirs, "the")
    return f", at {number(ratio, 2)} times {word} cost per frame"


def _about_the_truth(run: RunFolder, row: LadderRow) -> Iterator[str]:
    floor = run.physics.data.truth_floor if run.physics.data else None
    relative = row.mean_error or row.error
    if relative.mean < max(REFERENCE_FLOOR, 3.0 * (floor or 0.0)):
        size = (
            f", which itself is off by {number(floor, 2)}"
            if floor
            else ", whose own error run.json does not state"
        )
        yield (f"An error this small depends on the truth it is measured against (the test split{size}).")
