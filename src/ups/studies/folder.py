"""A study read back from its folder: study.json, and run.json and rows.parquet of every cell, or why it failed."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ups.config import nearest, validate
from ups.evaluation.rows import query, trajectory_scores
from ups.record import TESTED, read_identities
from ups.reports.run_folder import read_run
from ups.studies.carry_out import failure, label
from ups.studies.confounds import Record
from ups.studies.study import BASE, Cell, Design, PrimaryMetric, read_definition
from ups.types import UserError


@dataclass(frozen=True)
class VariantRuns:
    """The finished runs of one variant, in the order of their seeds, and what failed; the base is a variant too."""

    name: str
    assignments: tuple[str, ...]
    seeds: tuple[int, ...]
    folders: tuple[Path, ...]
    records: tuple[Record, ...]
    metric: PrimaryMetric
    failures: dict[int, str]
    """Why the runs of the other seeds failed."""
    kept: tuple[str, ...] | None = None
    """Identities of the test trajectories that count, in their order; None counts all, as they stand in the rows."""

    def only(self, seeds: Collection[int]) -> VariantRuns:
        """Return the runs of these seeds."""
        chosen = [place for place, seed in enumerate(self.seeds) if seed in seeds]
        return replace(
            self,
            seeds=tuple(self.seeds[place] for place in chosen),
            folders=tuple(self.folders[place] for place in chosen),
            records=tuple(self.records[place] for place in chosen),
        )

    def on(self, kept: tuple[str, ...]) -> VariantRuns:
        """Return the same runs, scored on some of their test trajectories."""
        return replace(self, kept=kept)

    def of(self, stepper: str) -> VariantRuns:
        """Return the same runs, scored by another of their steppers."""
        return self.by(self.metric.model_copy(update={"stepper": stepper}))

    def by(self, metric: PrimaryMetric) -> VariantRuns:
        """Return the same runs, scored by another metric."""
        return replace(self, metric=metric)

    def has(self, stepper: str) -> bool:
        """Return whether there are runs, and every one has rows of the metric for a stepper."""
        asked = "select count(*) as number from rows where protocol = ? and stepper = ? and metric = ?"
        wanted = self.metric
        return bool(self.rows) and all(
            query(path, asked, [named(wanted.protocol, path), stepper, wanted.metric])["number"][0]
            for path in self.rows
        )

    @cached_property
    def tested(self) -> tuple[tuple[str, ...], ...]:
        """The identities of the test trajectories of each run; empty for a run whose numbers are of whole sets."""
        return tuple(identities(folder) for folder in self.folders)

    @property
    def rows(self) -> list[Path]:
        """The files of rows."""
        return [folder / "rows.parquet" for folder in self.folders]

    @cached_property
    def scores(self) -> Float[np.ndarray, "seed trajectory"]:
        """The primary metric of every run on every test trajectory; of shape [0, 0] without runs.

        Raises:
            UserError: a run has no such rows, or was tested on another number of trajectories than the others.
        """
        if not self.folders:
            return np.empty((0, 0))
        wanted = self.metric
        each = [trajectory_scores(path, named(wanted.protocol, path), wanted.metric) for path in self.rows]
        names = [label(record, wanted.stepper) for record in self.records]
        missing = [
            path for path, scores, name in zip(self.rows, each, names, strict=True) if name not in scores
        ]
        if missing:
            raise UserError(
                f"{missing[0]}: no rows of {wanted.protocol} / {wanted.stepper} / {wanted.metric}; delete the folder "
                "to run this cell again"
            )
        values = [scores[name][0] for scores, name in zip(each, names, strict=True)]
        if self.kept is not None:
            places = [dict(zip(tested, range(len(tested)), strict=True)) for tested in self.tested]
            values = [
                value[[place[name] for name in self.kept]]
                for value, place in zip(values, places, strict=True)
            ]
        if len({len(value) for value in values}) > 1:
            raise UserError(f"{self.folders[0]}: its seeds were tested on different numbers of trajectories")
        return np.stack(values)

    @cached_property
    def costs(self) -> dict[str, float]:
        """What the stepper costs, the mean over seeds: the metrics of protocol "cost", and the number of updates."""
        if not self.folders:
            return {}
        found = query(
            self.rows,
            "select metric, avg(value) as value from rows where protocol = 'cost' and stepper = ? group by metric",
            [self.metric.stepper],
        )
        costs = dict(zip(found["metric"].tolist(), found["value"].tolist(), strict=True))
        stages = [record.get("stages", {}).get(self.metric.stepper, {}) for record in self.records]
        if all("updates" in stage for stage in stages):
            costs["updates"] = float(np.mean([stage["updates"] for stage in stages]))
        return costs


@dataclass(frozen=True)
class StudyFolder:
    """The evidence of one study; the first of `variants` is the base."""

    path: Path
    design: Design
    base_settings: dict[str, Any]
    variants: tuple[VariantRuns, ...]

    @property
    def base(self) -> VariantRuns:
        """The runs that the variants are compared with."""
        return self.variants[0]

    def paired(self, runs: VariantRuns) -> tuple[VariantRuns, VariantRuns]:
        """Return a variant and the base, by its metric, on the seeds and trajectories of both."""
        return paired(runs.only(self.base.seeds), self.base.by(runs.metric).only(runs.seeds))


def paired(mine: VariantRuns, base: VariantRuns) -> tuple[VariantRuns, VariantRuns]:
    """Return runs of the same seeds, scored on the trajectories that all of them were shown.

    Trajectories are the same if initial condition and parameters are, whatever their place in the rows.
    """
    tested = [*mine.tested, *base.tested]
    if not tested or not all(tested):
        return mine, base
    common = set(tested[0]).intersection(*tested)
    kept = tuple(name for name in tested[0] if name in common)
    return mine.on(kept), base.on(kept)


def read_study(folder: Path) -> StudyFolder:
    """Open the folder of a study whose cells have all ended, finished or failed.

    Raises:
        UserError: it is not the folder of a study, a cell has not ended, or all runs of the base failed.
    """
    definition = read_definition(folder)
    base_settings = definition.pop(BASE)
    design = validate(Design, definition)
    variants = []
    for name, assignments in design.assignments.items():
        homes = {seed: folder / Cell(name, seed).name for seed in design.seeds}
        failures = {seed: reason for seed, home in homes.items() if (reason := failure(home))}
        finished = {seed: home for seed, home in homes.items() if seed not in failures}
        records = tuple(_finished(home) for home in finished.values())
        runs = (tuple(finished), tuple(finished.values()), records, design.metric, failures)
        variants.append(VariantRuns(name, assignments, *runs))
    if not variants[0].seeds:
        reason = next(iter(variants[0].failures.values()))
        raise UserError(
            f"{folder}: no run of the base finished, so there is nothing to compare with: {reason}"
        )
    return StudyFolder(folder, design, base_settings, tuple(variants))


def named(protocol: str, rows: Path) -> str:
    """Return the one protocol in a file of rows that is meant, where the name has a `*`.

    Raises:
        UserError: none is, or several are.
    """
    if "*" not in protocol:
        return protocol
    names = query(rows, "select distinct protocol from rows")["protocol"].tolist()
    if len(found := fnmatch.filter(names, protocol)) != 1:
        raise UserError(f"{rows}: {len(found)} protocols are called {protocol}{nearest(protocol, names)}")
    return str(found[0])


def identities(folder: Path) -> tuple[str, ...]:
    """Return what a run was tested on, in the order of its rows; empty where its numbers are of whole sets."""
    return tuple(read_identities(folder, TESTED)) if (folder / TESTED).exists() else ()


def _finished(folder: Path) -> Record:
    record = read_run(folder).record
    if not record.finished:
        raise UserError(
            f"{folder}: the run is not finished; `ups study` with the same definition finishes it"
        )
    return record.model_dump(mode="json")
