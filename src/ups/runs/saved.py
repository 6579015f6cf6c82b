"""A finished run, opened: its record, and every rung of its ladder as it was saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ups import checkpoint, record
from ups.config import nearest
from ups.record import PhysicsRecord
from ups.runs import (  # noqa: F401  the modules of all rungs are imported, so that their kinds are known
    rungs,
    search_rungs,
    world_rungs,
)
from ups.types import UserError


def open_run(run_dir: Path) -> PhysicsRecord:
    """Return the record of a finished ladder.

    Raises:
        UserError: there is none, it is damaged or not finished, or it is another bench's.
    """
    found = record.read_finished(run_dir)
    if not isinstance(found, PhysicsRecord):
        raise UserError(f"{run_dir}: a run of the {found.bench} bench has no ladder of steppers")
    record.require_intact(run_dir, found)
    return found


def names(run_dir: Path) -> list[str]:
    """Return the rungs that a run folder holds, finished or not."""
    return sorted(path.parent.parent.name for path in run_dir.glob(f"stages/*/stepper/{checkpoint.MANIFEST}"))


def load(run_dir: Path | str, name: str = "operator", assignments: Iterable[str] = ()) -> Any:
    """Return a trained rung of a run, ready to forecast: a Stepper.

    `name` is that of its folder in `stages/`: operator, corrector, student, law, a baseline. `assignments` change how
    it samples, e.g. `["num_steps=4"]` of a corrector. A folder that holds one model is loaded itself.

    Raises:
        UserError: there is no rung of that name, its files are damaged, or a setting cannot change.
    """
    folder = Path(run_dir)
    if (folder / checkpoint.MANIFEST).exists():
        return checkpoint.load(folder, assignments)
    home = folder / "stages" / name / "stepper"
    if not (home / checkpoint.MANIFEST).exists():
        there = names(folder)
        hint = nearest(name, there) if there else ", nor any other; is it a run folder?"
        raise UserError(f"{run_dir}: no trained rung '{name}'{hint}")
    return checkpoint.load(home, assignments)
