"""`ups study`: every cell a run of the pipeline, then the verdicts."""

from __future__ import annotations

import sys
from pathlib import Path

from ups.runs.kinds import run
from ups.studies.report import write_study_report
from ups.studies.study import Study, carry_out, cells, failure
from ups.types import UserError


def study(definition: Study, folder: Path) -> None:
    """Run every variant with every seed, compare them by the study's rule, write the report. Run again to resume."""
    carry_out(definition, folder, run, _line)
    write_study_report(folder)
    sys.stderr.write(f"report: {folder / 'report.html'}\n")
    failed = [cell.name for cell in cells(definition) if failure(folder / cell.name)]
    if failed:
        raise UserError(
            f"{folder}: {len(failed)} runs failed ({', '.join(failed[:3])}); the report says why, and the same command "
            "tries them again"
        )


def _line(fraction: float, text: str) -> None:
    """Say which cell is next; a bar would stand in the way of those of the runs."""
    sys.stderr.write(f"study {fraction:.0%}: {text}\n")
