"""All runs and studies below some folders: leaderboards of rungs that were asked the same on the same trajectories."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ups import record
from ups.evaluation.rows import query
from ups.progress import bar
from ups.record import ImageRecord, PhysicsRecord, ProtocolRecord
from ups.reports.run_folder import read_run
from ups.reports.wording import in_brackets, metric_name
from ups.statistics.bootstrap import Interval, bootstrap_mean
from ups.studies import study
from ups.studies.board_plots import Curve, Plot, Point, against_cost, against_time
from ups.studies.folder import read_study
from ups.studies.report import answers, judged
from ups.studies.verdicts import UNKNOWN
from ups.types import UserError

MOST_SHOWN = 100
"""Entries of a leaderboard, from the best."""

DEEPEST = 4
"""Folders below those that were named in which runs are looked for."""

MOST_DRAWN = 8
"""Entries of a leaderboard, from the best, whose error is drawn against time."""

COSTS = ("ms_per_frame", "training_seconds")
"""What the rows say of a rung's cost; its training counts what it stands on."""


class Entry(NamedTuple):
    """A rung of a run on a leaderboard; `error` is the mean over test trajectories, infinite where one blew up."""

    run: Path
    rung: str
    kind: str
    error: Interval
    num_members: int
    ms_per_frame: float
    seconds: float
    finding: str


class Leaderboard(NamedTuple):
    """The rungs of all runs that were asked by one protocol on the same test trajectories, the best first."""

    protocol: ProtocolRecord
    data: str
    num_trajectories: int
    entries: list[Entry]
    num_left: int
    cost: Plot | None = None
    """Error against milliseconds a frame, of all entries."""
    time: Plot | None = None
    """Error against time, of the best entries."""


class RunLine(NamedTuple):
    """A run: what it was about, when it ended, what its trainings took and what they found wrong with themselves."""

    path: Path
    data: str
    seed: int
    finished: str
    seconds: float
    findings: tuple[str, ...]


class StudyLine(NamedTuple):
    """A study: its question and its verdicts."""

    path: Path
    question: str
    answers: tuple[str, ...]


class Board(NamedTuple):
    """What was found, and what was left out and why."""

    leaderboards: list[Leaderboard]
    runs: list[RunLine]
    studies: list[StudyLine]
    left_out: list[str]


class _Scored(NamedTuple):
    """An entry whose error is not known yet, and what it is the mean of."""

    entry: Entry
    scores: Float[np.ndarray, " trajectory"]


def collect(folders: Sequence[Path]) -> Board:
    """Read every run and study below some folders; what cannot be read is named and left out.

    Raises:
        UserError: a folder does not exist, or none holds a run or a study.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name those in which runs and studies lie")
    found = [home for folder in folders for home in _homes(folder)]
    if not found:
        where = ", ".join(map(str, folders)) or "runs, studies"
        raise UserError(f"{where}: no run and no study here; `ups run` and `ups study` make them")
    runs, studies, left_out = [], [], []
    groups: dict[tuple[str, str, str], list[_Scored]] = {}
    about: dict[tuple[str, str, str], tuple[ProtocolRecord, str]] = {}
    with bar("reading runs and studies") as progress:
        for number, home in enumerate(found):
            progress(number / len(found), home.name)
            try:
                if (home / study.NAME).exists():
                    studies.append(_study(home))
                    continue
                made = record.read_finished(home)
                scored = list(_scored(home, made)) if isinstance(made, PhysicsRecord) else []
                runs.append(_line(home, made))
                for key, protocol, each in scored:
                    about.setdefault(key, (protocol, runs[-1].data))
                    groups.setdefault(key, []).extend(each)
            except UserError as error:
                left_out.append(str(error))
    order = sorted(groups, key=lambda key: about[key][1])  # of equal data in the order of the protocols
    ranked = [_leaderboard(*about[key], groups[key]) for key in order]
    with bar("drawing leaderboards") as progress:
        drawn = []
        for number, leaderboard in enumerate(ranked):
            progress(number / len(ranked), leaderboard.protocol.name)
            drawn.append(_drawn(leaderboard))
    return Board(drawn, runs, studies, left_out)


def _homes(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the folders of runs and studies; a study comes before its cells, and a run has no runs in it."""
    here = {entry.name: entry for entry in os.scandir(folder)} if depth <= DEEPEST else {}
    if record.NAME in here:
        yield folder
        return
    if study.NAME in here:
        yield folder
    for name in sorted(here):
        if here[name].is_dir(follow_symlinks=False):
            yield from _homes(folder / name, depth + 1)


def _study(home: Path) -> StudyLine:
    found = read_study(home)
    return StudyLine(home, found.design.question, tuple(answers(*judged(found))))


def _line(home: Path, made: PhysicsRecord | ImageRecord) -> RunLine:
    findings = (f"{name}: {fitted.finding}" for name, fitted in made.stages.items() if fitted.finding)
    seconds = sum(fitted.seconds for fitted in made.stages.values())
    return RunLine(home, _data(made), made.seed, made.finished, seconds, tuple(findings))


def _data(made: PhysicsRecord | ImageRecord) -> str:
    """Say in a few words what the data of a run are."""
    if isinstance(made, ImageRecord) or made.data is None:
        return f"{made.data.get('kind', made.bench)} images" if isinstance(made, ImageRecord) else ""
    data = made.data
    params = (
        f"{name} = {values[0]}" if len(values) == 1 else f"{name} in [{values[0]}, {values[-1]}]"
        for name, values in data.params.items()
    )
    what = data.equation or data.source
    return f"{' '.join([what, ', '.join(params)]).strip()}, {data.fields.grid} cells, {data.frames} frames"


def _scored(
    home: Path, made: PhysicsRecord
) -> Iterator[tuple[tuple[str, str, str], ProtocolRecord, list[_Scored]]]:
    """Yield for each protocol what it asks, of which trajectories, and the scores of every rung."""
    run = read_run(home)
    tested = made.files.get(record.TESTED)
    if tested is None:
        raise UserError(f"{home}: does not say which trajectories it was tested on")
    metrics = sorted({*COSTS, *(protocol.metric for protocol in made.protocols)})
    found = query(
        run.rows,
        """select protocol, metric, stepper, trajectory, avg(value) as value from rows
           where list_contains(?, metric) group by all order by all""",
        [metrics],
    )
    costs = found["protocol"] == "cost"
    of_cost = (found[column][costs] for column in ("stepper", "metric", "value"))
    cost = {(stepper, metric): value for stepper, metric, value in zip(*of_cost, strict=True)}
    findings = {name: fitted.finding or "" for name, fitted in made.stages.items()}
    for protocol in made.protocols:
        mine = (found["protocol"] == protocol.name) & (found["metric"] == protocol.metric)
        scored = [
            _Scored(
                Entry(
                    home,
                    rung.name,
                    rung.kind,
                    UNKNOWN,
                    rung.num_members,
                    *(cost.get((rung.name, metric), np.nan) for metric in COSTS),
                    findings.get(rung.folder, ""),
                ),
                found["value"][mine & (found["stepper"] == rung.name)],
            )
            for rung in made.ladder
        ]
        yield (
            (tested, protocol.name, protocol.metric),
            protocol,
            [each for each in scored if each.scores.size],
        )


def _drawn(leaderboard: Leaderboard) -> Leaderboard:
    """Return a leaderboard with its plots; the curves are read from the rows of the best entries.

    A reference that is a hundred times better than all else would only squeeze it.
    """
    protocol = leaderboard.protocol
    best = min((each.error.mean for each in leaderboard.entries if each.kind != "reference"), default=0.0)
    entries = [
        each for each in leaderboard.entries if each.kind != "reference" or each.error.mean > best / 100
    ]
    several = len({entry.run for entry in entries}) > 1

    def name(entry: Entry) -> str:
        return f"{entry.rung} of {entry.run.name}" if several else entry.rung

    points = [Point(name(each), each.kind, each.ms_per_frame, each.error.mean) for each in entries]
    curves, unit = [], ""
    for entry in entries[:MOST_DRAWN]:
        run = read_run(entry.run)
        found = run.curves(protocol.name, protocol.metric).get(entry.rung)
        unit = in_brackets(run.axis.time)
        if found is not None:
            curves.append(Curve(name(entry), entry.kind, found.time, found.value.mean(0)))
    label = metric_name(protocol.metric)
    return leaderboard._replace(cost=against_cost(points, label), time=against_time(curves, label, unit))


def _leaderboard(protocol: ProtocolRecord, data: str, scored: list[_Scored]) -> Leaderboard:
    ranked = sorted(scored, key=lambda each: (each.scores.mean(), np.median(each.scores)))
    entries = [entry._replace(error=bootstrap_mean(scores[None])) for entry, scores in ranked[:MOST_SHOWN]]
    return Leaderboard(protocol, data, len(ranked[0].scores), entries, len(ranked) - len(entries))
