"""`ups study`: what it will cost, every cell a run of the pipeline, then the verdicts."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from ups.config import nearest
from ups.files import require_home
from ups.progress import bar
from ups.runs.kinds import run
from ups.studies.carry_out import Engine, attempt, carry_out, failure, in_turn
from ups.studies.cost import say
from ups.studies.report import write_study_report
from ups.studies.study import NAME, Study, begin, cells
from ups.types import UserError


def study(definition: Study, folder: Path, engine: Engine | None = None, at_once: int = 1) -> None:
    """Run every variant with every seed, compare them by the study's rule, write the report. Run again to resume.

    Without an engine the cells run in turn, in this process; `at_once` is how many an engine has at a time.

    Raises:
        UserError: cells failed; the others are in the report.
    """
    require_home(folder, (NAME,))
    if not (folder / NAME).exists():
        sys.stderr.write(f"{say(definition, at_once)}\n")
    if engine is None:
        carry_out(definition, folder, in_turn(partial(run, beside=folder)), _line)
    else:
        with bar("study") as progress:
            carry_out(definition, folder, engine, progress)
    write_study_report(folder)
    sys.stderr.write(f"report: {folder / 'report.html'}\n")
    failed = [cell.name for cell in cells(definition) if failure(folder / cell.name)]
    if failed:
        raise UserError(
            f"{folder}: {len(failed)} runs failed ({', '.join(failed[:3])}); the report says why, and the same command "
            "tries them again"
        )


def one_cell(definition: Study, folder: Path, name: str) -> None:
    """Run one cell and no report: for whoever spreads the cells over machines.

    Raises:
        UserError: the study has no such cell, or it failed; its folder keeps the reason.
    """
    found = {cell.name: cell for cell in cells(definition)}
    if name not in found:
        raise UserError(f"--only {name}: no such cell{nearest(name, found)}")
    begin(definition, folder)
    if reason := attempt(partial(run, beside=folder), definition.settings(*found[name]), folder / name):
        raise UserError(f"{name} failed: {reason}")


def _line(fraction: float, text: str) -> None:
    """Say which cell is next; a bar would stand in the way of those of the runs."""
    sys.stderr.write(f"study {fraction:.0%}: {text}\n")
