"""A finished run read back from its folder: run.json, rows.parquet, the arrays to draw, and the logs of its stages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ups import record
from ups.evaluation.protocols import PROTOCOLS
from ups.evaluation.rows import all_trajectory_scores, query
from ups.record import ImageRecord, PhysicsRecord
from ups.training.store import read_log
from ups.types import UserError

Log = list[dict[str, Any]]


class Rung(NamedTuple):
    """One stepper of the ladder; `kind` is trivial, solver, baseline, ours, reference, or "" where none was stated.

    `num_members` is the size of its ensembles, 1 for a point forecast; `frames_read` how many frames of a context it
    reads at most, None where it is no stepper; `calls_per_frame` how often a frame calls the network that is sampled,
    None where nothing is.
    """

    name: str
    kind: str
    num_members: int = 1
    frames_read: int | None = None
    calls_per_frame: int | None = None


class Question(NamedTuple):
    """A protocol as the report needs it; `metric` is the one that ranks the rungs.

    `mean_metric` is that of the mean of the members, where the ranking metric judges all of them; else "".
    """

    name: str
    description: str
    metric: str
    mean_metric: str = ""


class Axis(NamedTuple):
    """What the axes of figures are called; a unit is "" where the numbers have none."""

    fields: tuple[str, ...]
    units: tuple[str, ...]
    space: str
    time: str

    def name(self, field: int) -> str:
        """Return the name of a field."""
        return self.fields[field] if field < len(self.fields) else f"field {field}"

    def unit(self, field: int) -> str:
        """Return the unit of a field."""
        return self.units[field] if field < len(self.units) else ""


class Curve(NamedTuple):
    """A metric per frame of each test trajectory, the mean over fields and seeds."""

    time: Float[np.ndarray, "time"]
    value: Float[np.ndarray, "trajectory time"]


@dataclass(frozen=True)
class RunFolder:
    """The evidence of one run, read from its files when it is asked for; nothing is computed anew but means."""

    path: Path
    record: PhysicsRecord | ImageRecord

    @property
    def physics(self) -> PhysicsRecord:
        """The record of a ladder.

        Raises:
            UserError: the run is of another bench.
        """
        if not isinstance(self.record, PhysicsRecord):
            raise UserError(f"{self.path}: a run of the {self.record.bench} bench has no ladder")
        return self.record

    @property
    def rows(self) -> Path:
        """The file of rows."""
        return self.path / "rows.parquet"

    @cached_property
    def measured(self) -> dict[tuple[str, str], bool]:
        """The pairs (protocol, metric) that have rows, costs aside; true where there is a value for each frame."""
        found = query(
            self.rows,
            """select protocol, metric, bool_or(not isnan(time)) as per_frame from rows
               where protocol != 'cost' group by all order by all""",
        )
        return {
            (protocol, metric): bool(per_frame)
            for protocol, metric, per_frame in zip(*found.values(), strict=True)
        }

    @cached_property
    def costs(self) -> dict[str, dict[str, float]]:
        """The numbers of protocol "cost" by stepper and metric."""
        found = query(
            self.rows,
            """select stepper, metric, avg(value) as value from rows
               where protocol = 'cost' group by all order by all""",
        )
        costs: dict[str, dict[str, float]] = {}
        for stepper, metric, value in zip(*found.values(), strict=True):
            costs.setdefault(stepper, {})[metric] = float(value)
        return costs

    @cached_property
    def num_seeds(self) -> int:
        """How many seeds the rows hold."""
        return int(query(self.rows, "select count(distinct seed) as num from rows")["num"][0])

    @cached_property
    def rungs(self) -> tuple[Rung, ...]:
        """The ladder from low to high, then steppers that have scores but were not named in it."""
        stated = [
            Rung(rung.name, rung.kind, rung.num_members, rung.frames_read, rung.calls_per_frame)
            for rung in self.physics.ladder
        ]
        found = query(
            self.rows, "select distinct stepper from rows where protocol != 'cost' order by stepper"
        )
        names = {rung.name for rung in stated}
        return (*stated, *(Rung(name, "") for name in found["stepper"] if name not in names))

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """The protocols that have rows; the first is that of the headline.

        Order, description and ranking metric are those of run.json, else those of `ups.evaluation.protocols`.
        """
        stated = {entry.name: entry.model_dump() for entry in self.physics.protocols}
        known = {
            protocol.name: {"description": protocol.description, "primary": protocol.primary}
            for protocol in PROTOCOLS
        }
        metrics: dict[str, list[str]] = {}
        for protocol, metric in self.measured:
            metrics.setdefault(protocol, []).append(metric)
        questions = []
        for name in dict.fromkeys([*stated, *known, *metrics]):
            entry = known.get(name, {}) | stated.get(name, {})
            if name in metrics:
                preferred = [entry.get("metric"), entry.get("primary"), "nrmse", *metrics[name]]
                metric = next(metric for metric in preferred if metric in metrics[name])
                mean_metric = entry.get("mean_metric", "")
                questions.append(
                    Question(
                        name,
                        entry.get("description", ""),
                        metric,
                        mean_metric if mean_metric in metrics[name] else "",
                    )
                )
        return tuple(questions)

    @cached_property
    def logs(self) -> dict[str, Log]:
        """The log rows of each stage, in the order of training."""
        files = {path.parent.name: path for path in sorted(self.path.glob("stages/*/log.jsonl"))}
        order = dict.fromkeys([*self.record.stages, *files])
        return {name: read_log(files[name]) for name in order if name in files}

    @cached_property
    def axis(self) -> Axis:
        """The names and units of the data."""
        data = self.physics.data
        if data is None:
            return Axis((), (), "", "")
        fields = data.fields
        units = tuple(field.unit for field in fields.each)
        return Axis(fields.names, units, fields.grid.axes[0].unit, fields.time_unit)

    @cached_property
    def examples(self) -> dict[str, np.ndarray]:
        """The arrays of examples.npz; empty if the run kept none."""
        return self._arrays("examples.npz")

    @cached_property
    def ensembles(self) -> dict[str, np.ndarray]:
        """The arrays of ensembles.npz; empty if no rung has members."""
        return self._arrays("ensembles.npz")

    def scores(self, protocol: str, metric: str) -> dict[str, Float[np.ndarray, "seed trajectory"]]:
        """Return a metric of every rung per seed and test trajectory, the mean over frames and fields."""
        return self._scores.get((protocol, metric), {})

    @cached_property
    def _scores(self) -> dict[tuple[str, str], dict[str, Float[np.ndarray, "seed trajectory"]]]:
        return all_trajectory_scores(self.rows)

    def curves(self, protocol: str, metric: str) -> dict[str, Curve]:
        """Return a metric of every rung against physical time."""
        found = query(
            self.rows,
            """select stepper, trajectory, time, avg(value) as value from rows
               where protocol = ? and metric = ? and not isnan(time) group by all order by all""",
            [protocol, metric],
        )
        curves = {}
        for rung in self.rungs:
            mine = found["stepper"] == rung.name
            if mine.any():
                time = np.unique(found["time"][mine])
                curves[rung.name] = Curve(time, found["value"][mine].reshape(-1, len(time)))
        return curves

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        path = self.path / name
        if not path.exists():
            return {}
        with np.load(path) as arrays:
            return dict(arrays)


def read_run(run_dir: Path) -> RunFolder:
    """Open a run folder.

    Raises:
        UserError: the folder lacks run.json or rows.parquet, or one of its files is damaged.
    """
    for name in ("run.json", "rows.parquet"):
        if not (run_dir / name).exists():
            raise UserError(f"{run_dir}: not a finished run, it has no {name}")
    found = record.read(run_dir)
    record.require_intact(run_dir, found)
    return RunFolder(run_dir, found)
