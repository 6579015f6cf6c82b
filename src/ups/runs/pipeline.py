"""READ FIRST. A run from top to bottom: data, codec, the rungs one by one, the ladder, the report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import nn

from ups import checkpoint, record
from ups.config import Settings, digest
from ups.data.likeness import waves_of_all
from ups.data.splits import Splits, identities, initial_hashes, split
from ups.evaluation.examples import save_arrays
from ups.evaluation.ladder import Rung, error, leading_protocol, measure
from ups.evaluation.outcomes import compare_outcomes
from ups.evaluation.protocols import ONE_STEP, PDEBENCH
from ups.evaluation.rows import RowStore
from ups.files import written_whole
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.progress import bar
from ups.record import KNOWN, SEEN, TESTED, Fitted, PhysicsRecord, RungRecord
from ups.reports.report import write_report
from ups.runs.rungs import Below, Calibrated, RungSpec
from ups.runs.seen import disguised
from ups.runs.settings import Run
from ups.training import distributed
from ups.training.clock import unequal_load
from ups.training.fit import fit
from ups.training.settings import Fit
from ups.training.stages import Autoencode, Forecast, Stage
from ups.training.store import Store
from ups.training.trackers import Tracker, open_tracker
from ups.training.update import check


@dataclass(frozen=True)
class Work:
    """What every training of one run has in common."""

    splits: Splits
    store: Store
    seed: int
    tracker: Tracker | None = None


@dataclass(frozen=True)
class Climbed:
    """A rung that is ready to be scored: all settings that it was made from, and the seconds of all its training."""

    ready: Calibrated
    made_from: tuple[Settings | None, ...]
    seconds: float


def run(settings: Run, folder: Path, tracker: str = "none", beside: Path | None = None) -> None:
    """Train every rung, measure the ladder on the test split, write the report. Run again to resume.

    Nothing is written before the data are read and every rung is built. `tracker` names the dashboard that also gets
    the training logs ("trackio", "tensorboard", "wandb"). What a run in the folder `beside` has trained from the same
    inputs is taken over.
    """
    dashboard = open_tracker(tracker, "ups", folder)
    splits = load(settings)
    below = ground(settings, splits)
    rehearse(settings.rungs, below)
    with Store(folder, beside) as store:
        begun: Any = record.begin(folder, settings, PhysicsRecord) if distributed.is_main() else None
        if begun is not None and begun.finished:
            sys.stderr.write(f"finished before; report: {folder / 'report.html'}\n")
            return
        remember(splits, folder)

        work = Work(splits, store, settings.seed, dashboard)
        done = {"codec": train_codec(settings, below, work)}
        for spec in settings.rungs:
            done[spec.name] = climb(spec, below, done, work)
            below = below.under(spec.name, done[spec.name].ready.stepper)
        if not distributed.is_main():
            return

        made = begun.also(**score(settings, below, done, work, folder))
        record.write(folder, made)
        write_report(folder)
        # last: a run without its report is not finished
        record.write(folder, made.also(finished=record.now()))
        sys.stderr.write(f"report: {folder / 'report.html'}\n")


def load(settings: Run) -> Splits:
    """Return the trajectories, split by initial condition."""
    with bar("data") as progress:
        return split(settings.data.load(progress=progress))


def ground(settings: Run, splits: Splits) -> Below:
    """Return what the first rung stands on: the normalizer of the training split, and the codec, untrained."""
    fields = splits.train.fields
    below = Below(splits.train, splits.validation, fit_normalizer(splits.train), None, settings.seed)
    codec = settings.codec.build(fields, below.stream("codec"))
    return replace(below, codec=codec.to(distributed.device()))


def rehearse(specs: Sequence[RungSpec], below: Below) -> None:
    """Build every rung untrained, and throw all away: what does not fit fails here, before anything is written.

    Raises:
        UserError: a rung does not fit the data or what it stands on.
    """
    for spec in specs:
        stepper = spec.build(below)
        if stage := spec.stage(stepper, below):
            check(stage, below.train, cast(Fit, spec.training))
        below = below.under(spec.name, stepper)


def remember(splits: Splits, folder: Path) -> None:
    """Write down what the networks get to know, and which trajectories are scored."""
    if not distributed.is_main():
        return
    parts = (splits.train.values, splits.validation.values)
    known = {*initial_hashes(parts[0]), *initial_hashes(parts[1])}
    for name, hashes in ((KNOWN, sorted(known)), (TESTED, identities(splits.test))):
        with written_whole(folder / name) as temporary:
            temporary.write_text(json.dumps(hashes))
    with written_whole(folder / SEEN) as temporary:
        save_file({"waves": torch.cat([waves_of_all(part) for part in parts])}, temporary)


def train_codec(settings: Run, below: Below, work: Work) -> Climbed:
    """Train the codec, if it has parameters, and fix it: all that comes on top moves in one space."""
    codec, how = cast(nn.Module, below.codec), settings.codec_training
    made_from, fitted = (settings.codec, how), None
    if any(parameter.requires_grad for parameter in codec.parameters()):
        fitted = fit_stage(Autoencode("codec", codec, below.normalizer), how, made_from, work)
        codec.requires_grad_(False)
    return Climbed(Calibrated(codec, fitted), made_from, fitted.seconds if fitted else 0.0)


def climb(spec: RungSpec, below: Below, done: Mapping[str, Climbed], work: Work) -> Climbed:
    """Build a rung, train it, calibrate it and save it."""
    under = [done[name] for name in spec.on]
    made_from = (*(part for rung in under for part in rung.made_from), *spec.made_from, spec.training)
    stepper = spec.build(below)
    begun = time.monotonic()
    spec.prepare(stepper, below)
    prepared, fitted = round(time.monotonic() - begun, 3), None
    if stage := spec.stage(stepper, below):
        fitted = fit_stage(stage, cast(Fit, spec.training), made_from, work, stands_on_law="law" in spec.on)
        fitted = replace(fitted, seconds=fitted.seconds + prepared)
    ready = spec.calibrate(stepper, fitted, below)
    if distributed.is_main():
        sys.stderr.write("".join(f"{spec.name}: {line}\n" for line in ready.guards))
        keep(ready, home(work.store.folder, spec.name))
    own = ready.fitted.seconds if ready.fitted else prepared
    return Climbed(ready, made_from, own + sum(rung.seconds for rung in under))


def keep(ready: Calibrated, folder: Path) -> None:
    """Save a rung, if it was not refused, and beside it what it was judged by."""
    if not ready.refused:
        checkpoint.save(ready.stepper, folder)
    if ready.evidence:
        folder.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(folder.parent / "evidence.npz", dict(ready.evidence))


def home(folder: Path, name: str) -> Path:
    """Return where a run keeps the stepper of a rung."""
    return folder / "stages" / name / "stepper"


def fit_stage(
    stage: Stage, how: Fit, made_from: Sequence[Settings | None], work: Work, stands_on_law: bool = False
) -> Fitted:
    """Fit one stage, watched on the validation split; a forecast is scored by the protocol that will rank it.

    What is trained one step ahead, as the mean of a random future must be, is scored one step ahead.
    """
    validation = work.splits.validation.to(distributed.device())
    leading = leading_protocol(validation.values.shape[1])
    protocol = ONE_STEP if leading is PDEBENCH and max(steps for _, steps in how.unroll) == 1 else leading

    def validate() -> float:
        return error(cast(Forecast, stage).stepper, validation, protocol)

    parts = [part and part.model_dump(mode="json") for part in made_from]
    with bar(f"training {stage.name}") as progress:
        fitted = fit(
            stage,
            work.splits.train,
            work.store,
            how,
            work.seed,
            validate=validate if isinstance(stage, Forecast) else None,
            held_out=validation,
            tracker=work.tracker,
            progress=progress,
            digest=digest([work.splits.digest, *parts]),
            starts_as_answer=stands_on_law,
        )
    work.store.end_turn()
    return fitted


def score(
    settings: Run, below: Below, done: Mapping[str, Climbed], work: Work, folder: Path
) -> dict[str, Any]:
    """Measure every rung on the test split; return what the record says of it."""
    test = work.splits.test.to(distributed.device())
    specs = [spec for spec in settings.rungs if not done[spec.name].ready.refused]
    labels = {spec.label(below.steppers[spec.name]): spec.name for spec in specs}
    rungs = [
        Rung(label, spec.kind, below.steppers[spec.name], done[spec.name].seconds, spec.num_members)
        for label, spec in zip(labels, specs, strict=True)
    ]
    with bar("evaluating") as progress:
        rows = RowStore(folder, run=folder.name, seed=settings.seed)
        reconstruct = cast(Emulator, below.steppers["operator"]).reconstruct
        found = measure(rungs, reconstruct, test, rows, progress)
    ladder = tuple(RungRecord(**entry, folder=labels.get(entry["name"], "")) for entry in found["ladder"])
    ready = {name: rung.ready for name, rung in done.items()}
    stages = {name: rung.fitted for name, rung in ready.items() if rung.fitted}
    guards = {name: rung.guards for name, rung in ready.items() if rung.guards}
    refused = [
        f"{name.replace('_', ' ')} refused: {rung.refused}" for name, rung in ready.items() if rung.refused
    ]
    if "climatology" in ready:
        guards["outcomes"] = tuple(compare_outcomes(rungs, test, settings.seed))
    parts = {"train": work.splits.train, "validation": work.splits.validation, "test": work.splits.test}
    alike = disguised(work.splits.test, folder)[1]
    return found | {
        "notes": (*settings.notes, *filter(None, [unequal_load(stages), alike]), *refused, *found["notes"]),
        "ladder": ladder,
        "stages": stages,
        "guards": guards,
        "judged": {name: dict(rung.judged) for name, rung in ready.items() if rung.judged},
        "data": record.describe(settings.data, parts, work.splits.digest),
        "evaluated": record.now(),
    }
