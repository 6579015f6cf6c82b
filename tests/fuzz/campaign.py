"""The campaign: a template with a finished run and sound files, and cases until the time is over."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuzz.cases import draw
from fuzz.property import Case, Outcome, carry_out

Say = Callable[[int, Case, Outcome], None]


def make_template(folder: Path, tiny_run: Path | None = None) -> Path:
    """Write what every case begins with: a finished tiny run R, data that it can forecast, and files of the user's."""
    from tiny_recipe import tiny
    from ups.data.pdebench import write_pdebench
    from ups.runs.pipeline import run

    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[1] / "tiny_recipe.py", folder)
    if tiny_run is None:
        run(tiny(), folder / "R")
    else:
        shutil.copytree(tiny_run, folder / "R")
    source = tiny().data.model_copy(update={"seed": 5, "num_trajectories": 6})
    given = source.load()
    write_pdebench(folder / "data.h5", given.values, given.fields, given.params, equation="advection")
    np.savez_compressed(folder / "arrays.npz", u=given.values[:, :, 0].numpy())
    (folder / "link.h5").symlink_to("data.h5")
    (folder / "out.txt").write_text("the user's own\n")
    (folder / "loose").mkdir()
    (folder / "loose" / "notes.txt").write_text("the user's own\n")
    return folder


def campaign(
    home: Path, seed: int, seconds: float, kinds: tuple[str, ...] = (), say: Say = lambda *_: None
) -> tuple[Counter, dict[int, tuple[Case, Outcome]]]:
    """Try cases for so many seconds; return how many of each kind there were, and the faults by number."""
    os.environ["UPS_CACHE"] = str(home / "cache")
    template = home / "template"
    if not template.exists():
        make_template(template)
    counts, faults, begun = Counter(), {}, time.monotonic()
    for number, case in enumerate(draw(seed, kinds)):
        if time.monotonic() - begun > seconds:
            break
        outcome = carry_out(case, template, home / "case")
        counts[case.kind] += 1
        if outcome.fault:
            faults[number] = (case, outcome)
        say(number, case, outcome)
    return counts, faults
