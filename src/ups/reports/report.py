"""The report of one run: report.html (one file), report.md and figures/, made from the run folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ups.evaluation.metrics import MORE_IS_BETTER
from ups.files import final_name
from ups.record import PhysicsRecord, Record
from ups.reports.ensemble_table import ensemble_table
from ups.reports.headline import headline
from ups.reports.ladder_table import LadderTable, ladder_table
from ups.reports.page import flatten, write_page
from ups.reports.palette import rung_styles
from ups.reports.plates import make_plates
from ups.reports.run_folder import RunFolder, read_run
from ups.types import UserError

GROUPS = {
    "trivial": "Trivial baselines",
    "solver": "Classical solver",
    "baseline": "Baselines",
    "ours": "Ours",
    "": "Others",
    "reference": "Reference",
}

UNRANKED = frozenset({"spread"})
"""Metrics of which neither more nor less is better."""


class MetricLine(NamedTuple):
    """One metric of all rungs: its mean and standard error over test trajectories, and which rung is best."""

    metric: str
    per_frame: bool
    more_is_better: bool
    values: dict[str, tuple[float, float]]
    best: str | None


class Bar(NamedTuple):
    """Where an interval lies on the logarithmic scale of its table, in per cent of the width."""

    low: float
    mean: float
    high: float
    is_below: bool = False
    """Whether it lies left of the scale."""


def write_report(run_dir: Path) -> None:
    """Write report.html, report.md and figures/*.png into a run folder, reading nothing but that folder.

    Raises:
        UserError: the folder is not that of a finished run, or its rows hold no scores.
    """
    run = read_run(run_dir)
    if not run.questions:
        raise UserError(f"{run.rows}: holds no scores; evaluate the run first")
    tables = [ladder_table(run, question) for question in run.questions]
    content = {
        "name": final_name(run_dir),
        "record": run.record,
        "headline": headline(run, tables[0]),
        "tables": tables,
        "groups": GROUPS,
        "bars": {table.question.name: interval_bars(table) for table in tables},
        "metrics": {table.question.name: metric_lines(run, table) for table in tables},
        "ensembles": ensemble_table(run, tables[0]),
        "guards": guards(run.physics),
        "plates": make_plates(run, tables, run_dir / "figures"),
        "styles": rung_styles(run.rungs),
        "provenance": list(provenance(run.record)),
    }
    write_page(run_dir, "report", content)


def interval_bars(table: LadderTable) -> dict[str, Bar]:
    """Return the place of every finite, positive error on one logarithmic scale; a reference may lie off it."""
    errors = {row.rung.name: row.error for row in table.rows if 0 < row.error.mean < np.inf}
    references = {row.rung.name for row in table.of_kind("reference")}
    means = [error.mean for name, error in errors.items() if name not in references]
    if not means:
        return {}
    lowest, highest = min(means) / 1.1, max(means) * 1.1

    def place(value: float) -> float:
        share = np.log(max(value, lowest / 1.2) / lowest) / np.log(highest / lowest)
        return float(np.clip(4 + 92 * share, 0, 100))

    return {
        name: Bar(place(error.low), place(error.mean), place(error.high), error.mean < lowest / 1.2)
        for name, error in errors.items()
    }


def metric_lines(run: RunFolder, table: LadderTable) -> list[MetricLine]:
    """Return every metric of a protocol, the one that ranks the rungs first."""
    protocol, primary = table.question.name, table.question.metric
    names = sorted(
        (name for owner, name in run.measured if owner == protocol), key=lambda name: name != primary
    )
    references = {rung.name for rung in run.rungs if rung.kind == "reference"}
    lines = []
    for name in names:
        scores = run.scores(protocol, name)
        values = {rung.name: _mean_and_error(scores[rung.name]) for rung in run.rungs if rung.name in scores}
        sign = -1.0 if name in MORE_IS_BETTER else 1.0
        ranked = sorted((sign * mean, rung) for rung, (mean, _) in values.items() if rung not in references)
        told_apart = name not in UNRANKED and len(ranked) > 1 and ranked[0][0] < ranked[1][0]
        lines.append(
            MetricLine(
                name,
                run.measured[protocol, name],
                name in MORE_IS_BETTER,
                values,
                ranked[0][1] if told_apart else None,
            )
        )
    return lines


def guards(record: PhysicsRecord) -> dict[str, list[str]]:
    """Return what each stage had to show beside its loss, as sentences."""
    return {stage: list(found) for stage, found in record.guards.items()}


def provenance(record: Record) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the groups of run.json that say how the run was made, each as lines (key.path, value)."""
    titles = {
        "settings": "Settings",
        "data": "Data",
        "versions": "Versions",
        "machine": "Machine",
    }
    stated = record.model_dump(mode="json")
    for key, title in titles.items():
        if stated.get(key):
            yield title, list(flatten(stated[key]))
    yield "Run", [(key, str(stated[key])) for key in ("seed", "started", "evaluated")]


def _mean_and_error(score: np.ndarray) -> tuple[float, float]:
    per_trajectory = score.mean(0)
    num = len(per_trajectory)
    if num < 2 or not np.isfinite(per_trajectory).all():
        return float(per_trajectory.mean()), np.nan
    return float(per_trajectory.mean()), float(per_trajectory.std(ddof=1) / np.sqrt(num))
