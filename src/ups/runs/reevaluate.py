"""The ladder of a finished run on other data, or sampled in another way."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ups import record
from ups.config import Settings, digest, override, validate
from ups.data.find import source_for
from ups.data.splits import identities
from ups.evaluation.ladder import Rung, measure
from ups.evaluation.outcomes import compare_outcomes
from ups.evaluation.rows import RowStore
from ups.files import made_whole, require_outside, require_place, written_whole
from ups.models.misfits import misfits
from ups.progress import bar
from ups.record import TESTED, PhysicsRecord, RungRecord
from ups.reports.report import write_report
from ups.runs.saved import load, open_run
from ups.runs.search_again import searched
from ups.runs.search_rungs import SEARCHES
from ups.runs.seen import unseen
from ups.runs.settings import DataSettings
from ups.training import distributed
from ups.types import UserError

EVALUATIONS = "evaluations"
"""In a run folder: a folder for each evaluation on other data."""

Members = Annotated[int, Field(ge=2)]


class Again(Settings):
    """What of a finished run may change when it is evaluated again, besides how its rungs sample."""

    data: DataSettings
    """Where the trajectories come from."""
    num_members: Members
    """Members of the ensembles that stochastic rungs forecast."""


def evaluate(
    run_dir: Path, file: Path | None, assignments: Sequence[str], out: Path | None, force: bool = False
) -> None:
    """Measure every rung of a run on a file, or again on its own test split, and write a report of that.

    Trajectories that start like one of the training or validation are left out. Every rung is the one that was saved,
    references too: nothing is made again from the data that are scored. `assignments` change the data
    (data.stride_space=4), the ensembles (num_members=64) and how a rung samples (corrector.num_steps=4); a list of
    values, corrector.num_steps=[1,2,4], scores the rung once for each. search.num_candidates=8 and its like search over
    the rungs of the run, calibrated on its own validation split.

    Raises:
        UserError: the run is not finished, the data do not fit the emulator, or none is left; the folder `out` is
            there and `force` is not set, or it is no evaluation.
    """
    made = open_run(run_dir)
    if out is not None:
        require_new(out, run_dir, force)
    asked = [text for text in assignments if text.startswith("search.")]
    shared, sampling = _sorted([text for text in assignments if text not in asked], made)
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
    test, left_out = unseen(given, run_dir, file or run_dir)

    folder = _folder(run_dir, file, how, assignments) if out is None else out
    seconds = {name: fitted.seconds for name, fitted in made.stages.items()}
    searches, refused, explained = searched(run_dir, made, asked) if asked else ([], [], {})
    rungs, folders = [], {}
    for entry in made.ladder:
        if not entry.folder or (asked and entry.folder in SEARCHES):
            continue
        for label, changes in sampled(entry.name, sampling.get(entry.folder, {})):
            members = how.num_members if entry.num_members > 1 else 1
            stepper = load(run_dir, entry.folder, changes)
            rungs.append(Rung(label, entry.kind, stepper, seconds.get(entry.folder, 0.0), members))
            folders[label] = entry.folder
    rungs += searches
    with made_whole(folder) as new:
        with bar("evaluating") as progress:
            rows = RowStore(new, run=run_dir.name, variant=folder.name, seed=made.seed)
            found = measure(rungs, emulator.reconstruct, test.to(distributed.device()), rows, progress)
        found["notes"] += [*left_out, *refused]
        with written_whole(new / TESTED) as temporary:
            temporary.write_text(json.dumps(identities(test)))
        guards = {name: lines for name, lines in made.guards.items() if name != "outcomes"}
        guards |= explained
        if "climatology" in folders.values():
            guards["outcomes"] = tuple(compare_outcomes(rungs, test, made.seed))
        ladder = tuple(
            RungRecord(**entry, folder=folders.get(entry["name"], "")) for entry in found["ladder"]
        )
        again = made.also(**{
            **found,
            "ladder": ladder,
            "guards": guards,
            "settings": made.settings | how.model_dump(mode="json"),
            "data": record.describe(how.data, {"test": test}),
            "evaluated": record.now(),
        })
        record.write(new, again)
        write_report(new)
    sys.stderr.write(f"report: {folder / 'report.html'}\n")


def require_new(out: Path, run_dir: Path, force: bool) -> None:
    """See that a folder may be made, or, with `force`, that what it replaces is another evaluation.

    Raises:
        UserError: it may not.
    """
    require_place(out)
    if out.resolve().parent != (run_dir / EVALUATIONS).resolve():
        require_outside(out)
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or (out / "stages").exists() or not (out / record.NAME).is_file():
        raise UserError(f"{out}: is there already and is no evaluation; choose another --out")
    if not force:
        raise UserError(f"{out}: holds an evaluation; --force replaces it")


def _folder(run_dir: Path, file: Path | None, how: Again, assignments: Sequence[str]) -> Path:
    """Return where an evaluation belongs: the same one again in its old place, another one in none that is taken."""
    home = run_dir / EVALUATIONS / (file.stem if file else "again")
    unlike = home.with_name(f"{home.name}-{digest([how.model_dump(mode='json'), *assignments], 8)}")
    if assignments:
        return unlike
    if (home / record.NAME).is_file() and file is not None:
        data = record.read(home).settings.get("data", {})
        if [Path(name).resolve() for name in data.get("file", ())] != [file.resolve()]:
            return unlike
    return home


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
                "sample (corrector.num_steps) or are searched over (search.num_candidates) can change"
            )
    return shared, sampling
