"""The ladder of a finished run on other data, or sampled in another way."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from ups import record
from ups.config import Settings, override, validate
from ups.data.find import source_for
from ups.data.splits import identities, initial_hashes
from ups.evaluation.ladder import Rung, measure
from ups.evaluation.outcomes import compare_outcomes
from ups.evaluation.rows import RowStore
from ups.files import written_whole
from ups.models.misfits import misfits
from ups.progress import bar
from ups.record import PhysicsRecord, RungRecord
from ups.reports.report import write_report
from ups.runs.pipeline import KNOWN, TESTED
from ups.runs.saved import load, open_run
from ups.runs.settings import DataSettings
from ups.training import distributed
from ups.types import Trajectory, UserError

Members = Annotated[int, Field(ge=2)]


class Again(Settings):
    """What of a finished run may change when it is evaluated again, besides how its rungs sample."""

    data: DataSettings
    """Where the trajectories come from."""
    num_members: Members
    """Members of the ensembles that stochastic rungs forecast."""


def evaluate(run_dir: Path, file: Path | None, assignments: Sequence[str], out: Path | None) -> None:
    """Measure every rung of a run on a file, or again on its own test split, and write a report of that.

    Trajectories that start like one of the training or validation are left out. Every rung is the one that was saved,
    references too: nothing is made again from the data that are scored. `assignments` change the data
    (data.stride_space=4), the ensembles (num_members=64) and how a rung samples (corrector.num_steps=4); a list of
    values, corrector.num_steps=[1,2,4], scores the rung once for each.

    Raises:
        UserError: the run is not finished, the data do not fit the emulator, or none is left.
    """
    made = open_run(run_dir)
    shared, sampling = _sorted(assignments, made)
    data = made.settings["data"]
    if file is not None:
        of_file = [text for text in shared if text.startswith("data.")]
        shared = [text for text in shared if text not in of_file]
        source = source_for(file, [text.removeprefix("data.") for text in of_file])
        data = source.model_dump(mode="json")
    how = override(validate(Again, {"data": data, "num_members": made.settings["num_members"]}), shared)

    emulator = load(run_dir, "operator")
    with bar("data") as progress:
        given = how.data.load(progress=progress)
    if reasons := misfits(emulator, given):
        raise UserError(f"{file or run_dir}: {'; '.join(reasons)}")
    test = unseen(given, run_dir, file)

    folder = out or run_dir / "evaluations" / (file.stem if file else "again")
    if (folder / "stages").exists():
        raise UserError(f"{folder}: is a run, which an evaluation would overwrite; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {name: fitted.seconds for name, fitted in made.stages.items()}
    rungs, folders = [], {}
    for entry in made.ladder:
        if not entry.folder:
            continue
        for label, changes in sampled(entry.name, sampling.get(entry.folder, {})):
            members = how.num_members if entry.num_members > 1 else 1
            stepper = load(run_dir, entry.folder, changes)
            rungs.append(Rung(label, entry.kind, stepper, seconds.get(entry.folder, 0.0), members))
            folders[label] = entry.folder
    with bar("evaluating") as progress:
        rows = RowStore(folder, run=run_dir.name, variant=folder.name, seed=made.seed)
        found = measure(rungs, emulator.reconstruct, test.to(distributed.device()), rows, progress)
    if left_out := len(given) - len(test):
        found["notes"].append(
            f"{left_out} of {len(given)} trajectories start like one of the training; left out"
        )
    with written_whole(folder / TESTED) as temporary:
        temporary.write_text(json.dumps(identities(test)))
    guards = {name: lines for name, lines in made.guards.items() if name != "outcomes"}
    if "climatology" in folders.values():
        guards["outcomes"] = tuple(compare_outcomes(rungs, test, made.seed))
    ladder = tuple(RungRecord(**entry, folder=folders.get(entry["name"], "")) for entry in found["ladder"])
    again = made.also(**{
        **found,
        "ladder": ladder,
        "guards": guards,
        "settings": made.settings | how.model_dump(mode="json"),
        "data": record.describe(how.data, {"test": test}),
        "evaluated": record.now(),
    })
    record.write(folder, again)
    write_report(folder)
    sys.stderr.write(f"report: {folder / 'report.html'}\n")


def unseen(given: Trajectory, run_dir: Path, file: Path | None) -> Trajectory:
    """Return the trajectories that start like none that the run was trained or validated on.

    Raises:
        UserError: there are none.
    """
    known = set(json.loads((run_dir / KNOWN).read_text()))
    new = torch.tensor([value not in known for value in initial_hashes(given.values)])
    if not new.any():
        raise UserError(
            f"{file or run_dir}: every trajectory starts like one of the training; nothing to evaluate"
        )
    return given.select(new.nonzero()[:, 0])


def sampled(name: str, choices: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    """Return (name in the tables, assignments) for each combination of values; the name says which, if there are more.

    `choices` holds the values of each setting.
    """
    combinations = [
        [f"{setting}={value}" for setting, value in zip(choices, values, strict=True)]
        for values in product(*choices.values())
    ]
    if len(combinations) == 1:
        return [(name, combinations[0])]
    return [(f"{name}, {' '.join(changes)}", changes) for changes in combinations]


def _sorted(
    assignments: Sequence[str], made: PhysicsRecord
) -> tuple[list[str], dict[str, dict[str, list[str]]]]:
    """Tell the settings of data and ensembles from those of single rungs, by setting their values."""
    rungs = {entry.folder for entry in made.ladder if entry.folder}
    shared, sampling = [], {}
    for assignment in assignments:
        path, _, text = assignment.partition("=")
        first, _, rest = path.partition(".")
        if first == "data" or path == "num_members":
            shared.append(assignment)
        elif first in rungs and rest:
            inside = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
            sampling.setdefault(first, {})[rest] = [value.strip() for value in inside]
        else:
            raise UserError(
                f"setting '{assignment}': of a finished run only the data (data.…), num_members and how its rungs "
                "sample (corrector.num_steps) can change"
            )
    return shared, sampling
