"""`ups show`: the resolved settings of a recipe with their meaning, its rungs, and what a run will take."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from ups.config import Settings
from ups.data.windows import draw_windows
from ups.evaluation.cost import num_parameters
from ups.progress import bar
from ups.runs.pipeline import ground, load
from ups.runs.settings import Run
from ups.training.plan import plan_seconds, plan_updates
from ups.training.settings import Fit
from ups.training.stages import Autoencode, Stage
from ups.training.update import Updater, check
from ups.types import Trajectory

SAMPLE = 32
"""Trajectories of the recipe's data from which everything is estimated."""

TIMED = 1.0
"""Seconds of a budget of which a hundredth times one phase."""

COPIES = 6
"""Of the weights: themselves, gradient, two moments, average, best."""


class Line(NamedTuple):
    """One setting: its path, its value and what it means."""

    path: str
    value: str
    meaning: str


class Estimate(NamedTuple):
    """One rung: what it stands on, its numbers, the updates of its training and their seconds on this machine."""

    name: str
    kind: str
    on: str
    num_parameters: int
    updates: int
    seconds: float


def settings_lines(settings: Settings, path: str = "") -> Iterator[Line]:
    """Yield every setting in the order in which it is defined, groups opened."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        here = f"{path}{name}"
        if isinstance(value, BaseModel):
            yield from settings_lines(value, f"{here}.")
        elif (
            isinstance(value, dict) and value and all(isinstance(each, BaseModel) for each in value.values())
        ):
            for key, each in value.items():
                yield from settings_lines(each, f"{here}.{key}.")
        else:
            yield Line(here, _written(value), " ".join((field.description or "").split()))


def estimates(settings: Run) -> list[Estimate]:
    """Return what every rung takes, from a few of its data; networks are built and timed, and thrown away.

    Raises:
        UserError: a rung does not fit the data or what it stands on.
    """
    count = min(SAMPLE, settings.data.num_trajectories or SAMPLE)
    few = settings.model_copy(update={"data": settings.data.model_copy(update={"num_trajectories": count})})
    splits = load(few)
    below = ground(few, splits)
    found = []
    if any(parameter.requires_grad for parameter in below.codec.parameters()):
        stage = Autoencode("codec", below.codec, below.normalizer)
        found.append(_estimate(stage, settings.codec_training, splits.train, "codec", "", ""))
        below.codec.requires_grad_(False)
    with bar("timing the rungs") as progress:
        for number, spec in enumerate(few.rungs):
            progress(number / len(few.rungs), spec.name)
            stepper = spec.build(below)
            spec.prepare(stepper, below)
            on = ", ".join(spec.on)
            if stage := spec.stage(stepper, below):
                how = spec.training or settings.training
                found.append(_estimate(stage, how, splits.train, spec.name, spec.kind, on))
            else:
                found.append(Estimate(spec.name, spec.kind, on, num_parameters(stepper), 0, 0.0))
            below = below.under(spec.name, stepper)
    return found


def memory_gb(settings: Run, found: list[Estimate]) -> float:
    """Return about how many GB the trajectories and the largest training hold, activations left out."""
    source: Any = settings.data
    sample = source.model_copy(
        update={"num_trajectories": min(SAMPLE, source.num_trajectories or SAMPLE)}
    ).load()
    values = sample.values[0].numel() * (source.num_trajectories or len(sample))
    return (4 * values + 4 * COPIES * max(each.num_parameters for each in found)) / 1e9


def _estimate(stage: Stage, how: Fit, train: Trajectory, name: str, kind: str, on: str) -> Estimate:
    how = how.sized(math.prod(train.fields.grid.shape))
    check(stage, train, how)
    cost = Updater(stage, train, how, 0, draw_windows).rehearse(TIMED)
    starts = tuple(start for start, _ in how.unroll)
    costs = tuple(cost[stage.window(start)] for start in starts)
    plan = (
        plan_updates(how.updates, starts)
        if how.updates
        else plan_seconds(how.seconds or 0.0, starts, costs, 0.0)
    )
    seconds = sum(number * each for number, each in zip(plan.phase_updates, costs, strict=True))
    numbers = sum(p.numel() for p in stage.model.parameters() if p.requires_grad)
    return Estimate(name, kind, on, numbers, plan.num_updates, seconds)


def _written(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)}: {_written(each)}' for key, each in value.items())}}}"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
