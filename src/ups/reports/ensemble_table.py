"""What the ensembles of a run are worth: scores, spread and samples at each horizon, and verdicts in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ups.evaluation.ensembles import LEVELS
from ups.evaluation.uncertainty import nominal_coverage
from ups.reports.ensemble_evidence import RESOLVED, Evidence, Horizon
from ups.reports.ladder_table import LadderTable, ratio_of
from ups.reports.run_folder import RunFolder, Rung
from ups.reports.wording import MINUS, interval, number, percent
from ups.statistics.bootstrap import Interval, plus_minus

SLIGHT = 0.1  # a spread-skill ratio nearer to 1 than this is called slightly off
SIGNIFICANT = 0.05
NOTHING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"


class Cell(NamedTuple):
    """An entry of a table: what stands large, and the lines below it."""

    text: str
    details: tuple[str, ...] = ()


class Line(NamedTuple):
    """The cells of one rung, one for each column."""

    rung: Rung
    cells: tuple[Cell, ...]


class Block(NamedTuple):
    """A table of its own: one measure of all rungs, and how to read it."""

    title: str
    note: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


class EnsembleTable(NamedTuple):
    """The judgment of all ensembles under the leading protocol."""

    verdicts: tuple[str, ...]
    blocks: tuple[Block, ...]
    perfect: str
    """The ensemble that draws from the law of the data; "" without one."""


def ensemble_table(run: RunFolder, table: LadderTable) -> EnsembleTable | None:
    """Judge the ensembles of a run under its leading protocol; None if it has none."""
    if not run.ensembles:
        return None
    evidence = Evidence(run, table)
    verdicts = tuple(_verdict(evidence, rung) for rung in evidence.ensembles)
    return EnsembleTable(verdicts, tuple(_blocks(evidence)), evidence.perfect)


def calibration_word(ratio: Interval) -> str:
    """Say what an interval of the spread-skill ratio means."""
    if np.isnan(ratio.mean):
        return "not known"
    if ratio.low <= 1.0 <= ratio.high:
        return "calibrated within noise"
    slightly = "slightly " if abs(ratio.mean - 1.0) <= SLIGHT else ""
    return slightly + ("overconfident" if ratio.mean < 1.0 else "underconfident")


def _blocks(evidence: Evidence) -> Iterator[Block]:
    at = (*evidence.horizons, None)
    columns = (*(f"horizon {horizon}" for horizon in evidence.horizons), "all frames")

    def block(
        title: str, note: str, rungs: Sequence[Rung], cell: Callable[[Evidence, str, Horizon], Cell]
    ) -> Block:
        lines = (Line(rung, tuple(cell(evidence, rung.name, horizon) for horizon in at)) for rung in rungs)
        return Block(title, note, columns, tuple(lines))

    paired = (
        f" After {TIMES}: the ratio to the perfect ensemble, paired over trajectories."
        if evidence.perfect
        else ""
    )
    off_perfect = (
        " Off perfect: off the energy of that ensemble, which is less noisy." if evidence.perfect else ""
    )
    yield block(
        "Fair CRPS",
        f"Each cell for itself; less is better. Of a point forecast it is the absolute error.{paired}",
        evidence.rungs,
        lambda *where: _score("fair_crps", *where),
    )
    yield block(
        "Energy score",
        f"Frames as a whole; less is better. Of a point forecast it is the RMS error.{paired}",
        evidence.rungs,
        lambda *where: _score("energy_score", *where),
    )
    yield block(
        "Spread-skill ratio",
        "The error that an ensemble expects of its mean over the error that it makes. 1 is calibrated, less is "
        "overconfident, more is underconfident.",
        evidence.ensembles,
        _spread_skill,
    )
    yield block(
        "Sample spectrum",
        "How far the energy of the members is off that of the truth, at the worst of all resolved wavenumbers k (those "
        f"where the truth's mean spectrum is above {RESOLVED:g} of its peak). The interval holds for all of them at "
        "once. The truth is one draw, and the worst of many noisy numbers is too large: compare it with that of an "
        "ensemble known to be right." + off_perfect,
        evidence.ensembles,
        _spectrum,
    )
    yield Block(
        "Coverage and ranks",
        "The share of truths inside the central interval of the members, over all frames, and whether each rank of the "
        "truth among them is equally frequent. Members set the level that an interval can have: what is right for it "
        "stands below.",
        (*(_near(level) for level in LEVELS), "rank histogram"),
        tuple(Line(rung, _calibration(evidence, rung)) for rung in evidence.ensembles),
    )


def _score(metric: str, evidence: Evidence, rung: str, horizon: Horizon) -> Cell:
    mean = evidence.score(metric, rung, horizon)
    if not np.isfinite(mean.mean):
        return Cell("∞", ("blows up",))
    skill = evidence.against_perfect(metric, rung, horizon)
    details = [interval(mean.low, mean.high)]
    if skill:
        details.append(f"{TIMES} {_with_interval(ratio_of(skill))}")
    return Cell(number(mean.mean), tuple(details))


def _spread_skill(evidence: Evidence, rung: str, horizon: Horizon) -> Cell:
    ratio = evidence.spread_skill(rung, horizon)
    return Cell(number(ratio.mean), (interval(ratio.low, ratio.high), calibration_word(ratio)))


def _spectrum(evidence: Evidence, rung: str, horizon: Horizon) -> Cell:
    wavenumber, size = evidence.spectrum(rung, "truth", horizon)
    details = [f"{_percents(size)}, k = {wavenumber}"]
    if evidence.perfect and rung != evidence.perfect:
        _, to_perfect = evidence.spectrum(rung, evidence.perfect, horizon)
        details.append(f"{percent(to_perfect.mean)} {_percents(to_perfect)} off perfect")
    return Cell(percent(size.mean), tuple(details))


def _calibration(evidence: Evidence, rung: Rung) -> tuple[Cell, ...]:
    lost = evidence.num_blown_up(rung.name)
    coverages = evidence.coverage(rung.name)
    if not coverages:
        return (Cell(NOTHING, (f"all {lost} trajectories blew up",)),) * (len(LEVELS) + 1)
    cells = []
    for level, held in zip(LEVELS, coverages, strict=True):
        right = percent(nominal_coverage(rung.num_members, level))
        cells.append(Cell(percent(held.mean), (_percents(held), f"{right} is right")))
    p_value = evidence.flatness(rung.name)
    flat = "no test" if np.isnan(p_value) else "not flat" if p_value < SIGNIFICANT else "flat within noise"
    left_out = (
        (f"{lost} of {evidence.num_trajectories} trajectories blew up and are left out",) if lost else ()
    )
    cells.append(Cell("p < 0.001" if p_value < 1e-3 else f"p = {number(p_value, 2)}", (flat, *left_out)))
    return tuple(cells)


def _verdict(evidence: Evidence, rung: Rung) -> str:
    horizon = evidence.horizons[-1]
    clauses = []
    if skill := evidence.against_perfect("fair_crps", rung.name, horizon):
        size, above = plus_minus(skill), skill.mean < 0.0
        if skill.low <= 0.0 <= skill.high:
            relation = f"within noise of the perfect ensemble's ({'+' if above else MINUS}{size})"
        else:
            relation = f"{size} {'above' if above else 'below'} the perfect ensemble's"
        clauses.append(f"fair CRPS {relation} at horizon {horizon}")
    ratio = evidence.spread_skill(rung.name, horizon)
    clauses.append(f"spread-skill ratio {_with_interval(ratio)}: {calibration_word(ratio)}")
    if coverages := evidence.coverage(rung.name):
        right = percent(nominal_coverage(rung.num_members, LEVELS[-1]))
        clauses.append(
            f"its {_near(LEVELS[-1])} holds {percent(coverages[-1].mean)} of the truths, {right} is right"
        )
    return f"{rung.name}: {'; '.join(clauses)}."


def _near(level: float) -> str:
    return f"interval near {percent(level)}"


def _with_interval(found: Interval) -> str:
    return f"{number(found.mean)} {interval(found.low, found.high)}"


def _percents(found: Interval) -> str:
    low, high = ((percent(end) if end else "0").removesuffix(" %") for end in (found.low, found.high))
    return f"[{low},\N{NO-BREAK SPACE}{high}]"
