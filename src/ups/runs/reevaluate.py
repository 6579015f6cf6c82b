"""The ladder of a finished run on other data."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ups import record
from ups.config import override, validate
from ups.data.pdebench import PDEBench
from ups.data.splits import initial_hashes
from ups.evaluation.ladder import measure
from ups.evaluation.rows import RowStore
from ups.models.emulator import load as load_emulator
from ups.models.misfits import misfits
from ups.models.saved import load_saved
from ups.runs.pipeline import KNOWN, Networks, Run, ladder
from ups.progress import bar
from ups.reports.report import write_report
from ups.types import UserError


def evaluate(run_dir: Path, file: Path | None, assignments: Sequence[str], out: Path | None) -> None:
    """Measure every rung of a run on a file, or again on its own test split, and write a report of that.

    Trajectories that start like one of the training or validation are left out. `assignments` change the settings
    of the data, e.g. data.stride_space=4.

    Raises:
        UserError: the run is not finished, the data do not fit the emulator, or none is left.
    """
    made = record.read(run_dir)
    if "finished" not in made:
        raise UserError(f"{run_dir}: the run is not finished; `ups run` with the same settings finishes it")
    if strange := [text for text in assignments if not text.startswith("data.")]:
        raise UserError(f"setting '{strange[0]}': only settings of the data (data.…) can change now")
    settings = validate(Run, made["settings"])
    if file is not None:
        settings = settings.model_copy(update={"data": PDEBench(file=(file,))})
    settings = override(settings, assignments)

    emulator = load_emulator(run_dir)
    with bar("data") as progress:
        given = settings.data.load(progress=progress)
    if reasons := misfits(emulator, given):
        raise UserError(f"{file or run_dir}: {'; '.join(reasons)}")
    known = set(json.loads((run_dir / KNOWN).read_text()))
    new = torch.tensor([value not in known for value in initial_hashes(given.values)])
    if not new.any():
        raise UserError(
            f"{file or run_dir}: every trajectory starts like one of the training; nothing to evaluate"
        )
    test = given.select(new.nonzero()[:, 0])

    folder = out or run_dir / "evaluations" / (file.stem if file else "again")
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {name: stage["seconds"] for name, stage in made["stages"].items()}
    names = [*settings.peers, *(name for name in ("corrector", "student") if name in seconds)]
    above: dict[str, Any] = {name: load_saved(run_dir / "stages" / name / "stepper") for name in names}
    peers = {name: above.pop(name) for name in settings.peers}
    networks = Networks(emulator, peers, above.get("corrector"), above.get("student"))
    rungs = ladder(settings, test, networks, seconds)
    with bar("evaluating") as progress:
        rows = RowStore(folder, run=run_dir.name, variant=folder.name, seed=settings.seed)
        found = measure(rungs, emulator.reconstruct, test, rows, progress)
    if left_out := len(given) - len(test):
        found["notes"].append(
            f"{left_out} of {len(given)} trajectories start like one of the training; left out"
        )
    found["data"] = record.describe(settings.data.kind, {"test": test})
    record.write(
        folder, made | found | {"settings": settings.model_dump(mode="json"), "evaluated": record.now()}
    )
    write_report(folder)
    sys.stderr.write(f"report: {folder / 'report.html'}\n")
