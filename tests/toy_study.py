"""A study of a second: a run is a formula that writes run.json and rows.parquet as the pipeline does."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import records
from ups import record
from ups.config import Settings, override
from ups.evaluation.rows import RowStore, to_columns
from ups.runs.pipeline import TESTED
from ups.studies.study import Study, begin, cells
from ups.types import Row

NUM_TRAJECTORIES = 8


class Head(Settings):
    """A part of the run."""

    width: int = 4
    bias: bool = False


class Toy(Settings):
    """Settings of a run whose error is a known number."""

    effect: float = 0.0
    """Share of the error that is removed."""
    noise: float = 0.02
    """How far two seeds lie apart."""
    head: Head = Head()
    seed: int = 0


def study(**changes):
    """The study of a planted effect of 30 %, or another one."""
    planted = {"planted": ("effect=0.3",), "nothing": ("head.width=5",)}
    return Study[Toy](**{"question": "Does it help?", "base": Toy(), "variants": planted} | changes)


class Runner:
    """Runs cells and remembers which; is killed before the cell number `killed_at`."""

    def __init__(self, killed_at=None):
        self.ran = []
        self.killed_at = killed_at

    def __call__(self, settings: Toy, folder: Path) -> None:
        if len(self.ran) == self.killed_at:
            folder.mkdir(parents=True)
            begun(settings, folder)
            raise KeyboardInterrupt
        self.ran.append(folder.name)
        run(settings, folder)


def begun(cell: Toy, folder: Path) -> None:
    """Write what a run writes before its first training."""
    settings = cell.model_dump(mode="json")
    record.write(folder, records.physics(settings=settings, seed=cell.seed, finished=""))


def run(
    cell: Toy, folder: Path, tested: Sequence[str] | None = None, ceiling: float | None = None, **recorded
) -> None:
    """Write the evidence of a run: errors that the seed and the settings decide.

    `ceiling` is the error of the codec alone, where there is one.
    `tested` names its test trajectories; the error of one follows its name, t0 to t7, wherever it stands.
    """
    hard = 1.0 + np.arange(NUM_TRAJECTORIES) / 4
    rng = np.random.default_rng([cell.seed, cell.head.width, round(100 * cell.effect)])
    shared = 1.0 + 0.2 * np.random.default_rng(cell.seed).normal()  # a hard seed is hard for all variants
    own = np.exp(cell.noise * (rng.normal() + rng.normal(size=NUM_TRAJECTORIES)))
    errors = hard * shared * own * (1.0 - cell.effect)
    if tested is not None:
        errors = errors[[int(name[1:]) for name in tested]]
        folder.mkdir(parents=True)
        (folder / TESTED).write_text(json.dumps(tested))
    rows = [
        Row("", "", 0, protocol, "operator", index, metric, "u", np.nan, value)
        for protocol, metric, factor in (("pdebench", "nrmse", 1.0), ("one_step", "nrmse", 7.0))
        for index, value in enumerate(factor * errors)
    ]
    rows += [
        Row("", "", 0, "pdebench", "persistence", index, "nrmse", "u", np.nan, 2.0)
        for index in range(len(errors))
    ]
    if ceiling is not None:
        rows += [
            Row("", "", 0, "pdebench", "codec ceiling", index, "nrmse", "u", np.nan, ceiling)
            for index in range(len(errors))
        ]
    costs = {"num_parameters": 10.0 * cell.head.width, "training_seconds": 5.0 + cell.seed}
    rows += [Row("", "", 0, "cost", "operator", -1, name, "", np.nan, value) for name, value in costs.items()]
    store = RowStore(folder, run=folder.name, seed=cell.seed)
    columns = {
        name: values for name, values in to_columns(rows).items() if name not in ("run", "variant", "seed")
    }
    store.write("all", columns)
    store.combine()
    made = {
        "settings": cell.model_dump(mode="json"),
        "seed": cell.seed,
        "versions": {"torch": "2.6"},
        "machine": {"threads": 1},
        "data": records.data(digest="d1"),
        "stages": {"operator": records.fitted(updates=100)},
    }
    record.write(folder, records.physics(**made | recorded))


def finish(definition, folder, **at):
    """Carry a study out; `at` maps cell names (with _ for -) to what is different around that run."""
    begin(definition, folder)
    for cell in cells(definition):
        run(definition.settings(*cell), folder / cell.name, **at.get(cell.name.replace("-", "_"), {}))


def changed(definition, *assignments):
    return override(definition, assignments)
