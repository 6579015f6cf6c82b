"""A search over the rungs of a finished run, calibrated on the run's own validation split."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from ups.config import override, validate
from ups.evaluation.ladder import Rung
from ups.record import PhysicsRecord
from ups.runs.pipeline import load as load_data
from ups.runs.rungs import Below
from ups.runs.saved import load
from ups.runs.search_rungs import SEARCHES, correction_specs, search_specs
from ups.runs.settings import Run
from ups.search.settings import SearchSettings

NUMBERS = ("num_candidates", "beam", "horizon", "discount", "max_calls", "clear")
"""Settings of which a list asks for one search each."""


def searched(
    run_dir: Path, made: PhysicsRecord, assignments: Sequence[str]
) -> tuple[list[Rung], list[str], dict[str, tuple[str, ...]]]:
    """Return the rungs of a search with changed settings, why others are refused, and what each had to show.

    Raises:
        UserError: a setting is not valid, or nothing draws candidates.
    """
    run = validate(Run, made.settings)
    there = [spec for spec in run.rungs if spec.name not in SEARCHES]
    each = [override(run.search or SearchSettings(), changes) for changes in _combined(assignments)]
    specs = [spec for settings in each for spec in search_specs(settings, run.source, there)]
    specs += correction_specs(each[-1], run.source)
    steppers = {spec.name: load(run_dir, spec.name) for spec in there if _is_saved(run_dir, spec.name)}
    splits = load_data(run)
    operator = steppers["operator"]
    below = Below(splits.train, splits.validation, operator.normalizer, operator.codec, made.seed, steppers)
    rungs: dict[str, Rung] = {}
    refused, guards = [], {}
    for spec in specs:
        ready = spec.calibrate(spec.build(below), None, below)
        sys.stderr.write("".join(f"{spec.name}: {line}\n" for line in ready.guards))
        label = spec.label(ready.stepper)
        if ready.guards:
            guards[label if len(each) > 1 else spec.name] = ready.guards
        if ready.refused:
            refused.append(f"{label} refused: {ready.refused}")
            continue
        trained = sum(made.stages[name].seconds for name in spec.on if name in made.stages)
        rungs[label] = Rung(label, spec.kind, ready.stepper, trained, spec.num_members)
    return list(rungs.values()), refused, guards


def _combined(assignments: Sequence[str]) -> list[list[str]]:
    """Return the changes of each search: of a list of numbers, search.num_candidates=[1,8], one for each."""
    choices = {}
    for text in assignments:
        name, _, value = text.removeprefix("search.").partition("=")
        is_list = name in NUMBERS and value.startswith("[") and value.endswith("]")
        choices[name] = [part.strip() for part in value[1:-1].split(",")] if is_list else [value]
    return [
        [f"{name}={value}" for name, value in zip(choices, values, strict=True)]
        for values in product(*choices.values())
    ]


def _is_saved(run_dir: Path, name: str) -> bool:
    return (run_dir / "stages" / name / "stepper").is_dir()
