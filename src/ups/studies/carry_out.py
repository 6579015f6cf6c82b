"""From the definition of a study to its finished cells, on whatever engine; what stops goes on where it was.

A cell is a run folder inside the study's folder, named VARIANT-seedSEED. A finished one is not run again. One that
fails is written down, with its reason, and the others go on.
"""

from __future__ import annotations

import fnmatch
import json
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ups import record
from ups.config import Settings, digest, nearest
from ups.evaluation.rows import query
from ups.files import FAILED, written_whole
from ups.progress import Progress
from ups.studies.study import BASE, NAME, Cell, Design, Study, begin, cells
from ups.training.fit import DivergenceError
from ups.training.store import TURNS
from ups.types import UserError

R = TypeVar("R", bound=Settings)

RunCell = Callable[[R, Path], None]
"""Trains and measures one run, resumes what it left unfinished in that folder, and writes `run.json` (with "settings",
and "finished" at the end) and `rows.parquet`."""


LOGS = "logs"
"""In the folder of a study: what each cell said while it ran in a process of its own."""


class Ended(NamedTuple):
    """A cell that has ended; `reason` says why it failed, and is "" if it did not."""

    cell: Cell
    reason: str


Engine = Callable[[Study, Path, Sequence[Cell], Progress], Generator[Ended]]
"""Runs cells of a study in its folder and yields each when it has ended; closing the generator stops what runs.

It hears of progress as a fraction of these cells."""


def carry_out(study: Study, folder: Path, engine: Engine, progress: Progress) -> None:
    """Write the definition down, then run every cell that is not finished.

    `progress` hears of each cell before it runs, and of its failure. A cell that failed is tried again when the study
    is.

    Raises:
        UserError: the folder holds another study, the base is refused before it begins, or a cell that has ended has
            no rows of the primary metric.
    """
    begin(study, folder)
    left = [cell for cell in cells(study) if not is_finished(folder / cell.name, study.settings(*cell))]
    total = len(study.seeds) * len(study.assignments)
    before = total - len(left)
    if before:
        progress(before / total, f"{before} of {total} finished before")
        require_metric(next(folder / cell.name for cell in cells(study) if cell not in left), study)

    def of_all(fraction: float, text: str) -> None:
        progress((before + fraction * len(left)) / total, text)

    with closing(engine(study, folder, left, of_all)) as ended:
        for number, (cell, reason) in enumerate(ended, 1):
            if not reason:
                require_metric(folder / cell.name, study)
                continue
            if cell.variant == BASE and not any(folder.glob("*/run.json")):
                ended.close()
                withdraw(folder)
                raise UserError(reason)
            of_all(number / len(left), f"{cell.name} failed: {reason}")


def in_turn(run_cell: RunCell) -> Engine:
    """Return the engine that runs one cell after the other, in this process."""

    def engine(study: Study, folder: Path, left: Sequence[Cell], progress: Progress) -> Generator[Ended]:
        for number, cell in enumerate(left):
            progress(number / len(left), cell.name)
            yield Ended(cell, attempt(run_cell, study.settings(*cell), folder / cell.name))

    return engine


def attempt(run_cell: Callable[[Any, Path], None], settings: Settings, folder: Path) -> str:
    """Run one cell, and return why it failed; "" if it did not.

    A training that diverges and settings that do not fit together fail a cell, and its folder keeps the reason. All
    else, an interruption above all, ends the study.
    """
    note = folder / FAILED
    note.unlink(missing_ok=True)
    try:
        run_cell(settings, folder)
    except (UserError, DivergenceError) as error:
        failed = time.strftime("%Y-%m-%d %H:%M:%S")
        with written_whole(note) as temporary:
            temporary.write_text(json.dumps({"reason": str(error), "failed": failed}, indent=2))
        return str(error)
    return ""


def failure(folder: Path) -> str:
    """Return why the run of a cell failed; "" if it did not."""
    try:
        return str(json.loads((folder / FAILED).read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_finished(folder: Path, settings: Settings) -> bool:
    """Return whether a folder holds the finished run of these settings."""
    try:
        found = record.read(folder)
    except UserError:
        return False  # the run itself says what is wrong with its folder
    return bool(found.finished) and digest(found.settings) == digest(settings)


def withdraw(folder: Path) -> None:
    """Remove a study of which no run has begun: its base is at fault, and may be changed."""
    for path in (*folder.glob(f"*/{FAILED}"), folder / NAME):
        path.unlink(missing_ok=True)
    for name in (LOGS, TURNS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.glob("*-seed*/.lock"):
        path.unlink()
    for path in (*folder.glob("*-seed*"), folder):
        if not any(path.iterdir()):
            path.rmdir()


def require_metric(folder: Path, design: Design) -> None:
    """See that a run has rows of the metric for every rung that is judged: a misspelt name costs one cell.

    Raises:
        UserError: it has none; the message names the nearest that it has.
    """
    metric = design.metric
    found = query(folder / "rows.parquet", "select distinct protocol, stepper, metric from rows")
    names = {" / ".join(names) for names in zip(*found.values(), strict=True)}
    wanted = [(metric, "metric"), *((other, "also") for other in design.also)]
    wanted += [
        (metric.model_copy(update={"stepper": rung}), "pays") for pair in design.pays.items() for rung in pair
    ]
    made = record.read(folder).model_dump(mode="json")
    for asked, setting in wanted:
        rows = f"{asked.protocol} / {label(made, asked.stepper)} / {asked.metric}"
        if not fnmatch.filter(names, rows):
            raise UserError(
                f"{folder}: no rows of {rows}{nearest(rows, names)}; see '{setting}' of the study"
            )


def label(made: dict[str, Any], stepper: str) -> str:
    """Return what the rows of a run call a rung that is named as tables call it, or by its folder in `stages/`."""
    ladder = {rung["folder"]: rung["name"] for rung in made.get("ladder", ()) if rung.get("folder")}
    return ladder.get(stepper, stepper)
