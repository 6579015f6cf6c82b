"""READ FIRST. A run from top to bottom: data, codec, operator, peers, ladder, evidence, report."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from torch import nn

from ups import record
from ups.config import Settings, digest
from ups.data.pdebench import PDEBench
from ups.data.splits import Splits, initial_hashes, split
from ups.data.synthetic import Synthetic
from ups.evaluation.ladder import Rung, error, leading_protocol, match, measure
from ups.evaluation.rows import RowStore
from ups.files import written_whole
from ups.models.autoencoder import AutoencoderSettings, IdentityPatches
from ups.models.checkpoint import save
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import OperatorSettings, SpectralFlux
from ups.models.peers import ChangePeer, PeerSettings, Persistence, StatePeer
from ups.progress import bar
from ups.solvers.stepper import Coarse
from ups.streams import stream
from ups.studies.report import write_report
from ups.training import distributed
from ups.training.fit import Fitted, fit
from ups.training.settings import Fit
from ups.training.stages import Autoencode, Forecast
from ups.training.store import Store
from ups.training.trackers import Tracker, open_tracker
from ups.training.update import check
from ups.types import Trajectory

KNOWN = "known_initial_conditions.json"


class Run(Settings):
    """All that a run depends on; a recipe is a function that returns one."""

    data: Annotated[Synthetic | PDEBench, Field(discriminator="kind")]
    """Where the trajectories come from."""
    codec: AutoencoderSettings = IdentityPatches()
    """Between frames and the tokens that the operator advances."""
    operator: OperatorSettings = SpectralFlux()
    """Our network: the change of the tokens over one frame."""
    peers: dict[str, PeerSettings] = {}
    """The networks that one would otherwise pick, trained on the same batches with the same budget."""
    solver_cells: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 64, 128, 256, 512, 1024)
    """Grids of the classical solver; the coarsest that is as accurate as the operator becomes a rung."""
    codec_training: Fit = Fit(updates=2000, unroll=((0.0, 1),))
    """How the codec is trained, if it has anything to train."""
    training: Fit = Fit(seconds=60.0)
    """How the operator and each peer are trained."""
    seed: NonNegativeInt = 0
    """Of initial weights, batches and noise; data have their own."""

    @field_validator("peers")
    @classmethod
    def _names_are_folders(cls, peers: dict[str, PeerSettings]) -> dict[str, PeerSettings]:
        taken = {"operator", "codec", "emulator"}
        for name in peers:
            if name in taken or not name.isidentifier():
                raise ValueError(
                    f"'{name}' cannot name a peer: use letters, digits and _, and none of {sorted(taken)}"
                )
        return peers


@dataclass(frozen=True)
class Work:
    """What every stage of one run is trained from and written to."""

    settings: Run
    splits: Splits
    store: Store
    tracker: Tracker | None = None


def run(settings: Run, folder: Path, tracker: str = "none") -> None:
    """Train every stage, measure the ladder on the test split, write the report. Run again to resume.

    Nothing is written before the data are read and every network is built. `tracker` names the dashboard that
    also gets the training logs ("trackio", "tensorboard", "wandb").
    """
    dashboard = open_tracker(tracker, "ups", folder)
    splits = load(settings)
    emulator = build_emulator(settings, splits)
    peers = {name: build_peer(settings, name, splits) for name in settings.peers}
    for name, stepper in {"operator": emulator, **peers}.items():
        check(Forecast(name, stepper, settings.training.unroll), splits.train, settings.training)
    with Store(folder) as store:
        begun = record.begin(folder, settings) if distributed.is_main() else {}
        remember(splits, folder)
        if "finished" in begun:
            sys.stderr.write(f"finished before; report: {folder / 'report.html'}\n")
            return

        work = Work(settings, splits, store, dashboard)
        ours = train_emulator(emulator, work)
        others = {name: train_peer(name, peer, work) for name, peer in peers.items()}
        if not distributed.is_main():
            return

        rungs = [
            Rung("persistence", "trivial", Persistence()),
            *solver(settings, splits.validation, emulator),
        ]
        rungs += [Rung(name, "peer", peer, others[name].seconds) for name, peer in peers.items()]
        rungs += [Rung("operator", "ours", emulator, sum(stage.seconds for stage in ours.values()))]
        with bar("evaluating") as progress:
            rows = RowStore(folder, run=folder.name, seed=settings.seed)
            found = measure(rungs, emulator.reconstruct, splits.test.to(distributed.device()), rows, progress)

        found["stages"] = {name: asdict(fitted) for name, fitted in (ours | others).items()}
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        found["data"] = {"digest": splits.digest} | describe(settings, parts)
        made = begun | found | {"evaluated": record.now()}
        record.write(folder, made)
        write_report(folder)
        record.write(
            folder, made | {"finished": record.now()}
        )  # last: a run without its report is not finished
        sys.stderr.write(f"report: {folder / 'report.html'}\n")


def load(settings: Run) -> Splits:
    """Return the trajectories, split by initial condition."""
    with bar("data") as progress:
        return split(settings.data.load(progress=progress))


def remember(splits: Splits, folder: Path) -> None:
    """Write down the initial conditions that the networks get to know, so that no evaluation uses them."""
    if distributed.is_main():
        known = [*initial_hashes(splits.train.values), *initial_hashes(splits.validation.values)]
        with written_whole(folder / KNOWN) as temporary:
            temporary.write_text(json.dumps(sorted(set(known))))


def build_emulator(settings: Run, splits: Splits) -> Emulator:
    """Return the untrained emulator: normalizer, codec and operator that fit each other and the data."""
    fields, num_cells = splits.train.fields, splits.train.values.shape[-1]
    codec = settings.codec.build(fields, num_cells, stream(settings.seed, "codec"))
    operator = settings.operator.build(codec, fields, num_cells, stream(settings.seed, "operator"))
    emulator = Emulator(fit_normalizer(splits.train), codec, operator, fields, num_cells)
    return emulator.to(distributed.device())


def build_peer(settings: Run, name: str, splits: Splits) -> StatePeer | ChangePeer:
    """Return an untrained peer."""
    fields, num_cells = splits.train.fields, splits.train.values.shape[-1]
    generator = stream(settings.seed, name)
    peer = settings.peers[name].build(fields, fit_normalizer(splits.train), num_cells, generator)
    return peer.to(distributed.device())


def train_emulator(emulator: Emulator, work: Work) -> dict[str, Fitted]:
    """Train the codec, if it has parameters, then the operator on top of it; save both as one emulator."""
    stages = {}
    settings, codec = work.settings, cast(nn.Module, emulator.codec)
    if any(parameter.requires_grad for parameter in codec.parameters()):
        stage = Autoencode("codec", codec, emulator.normalizer)
        stages["codec"] = _fit(stage, settings.codec_training, work, settings.codec)
        codec.requires_grad_(False)  # the operator learns to move in a fixed space
    stage = Forecast("operator", emulator, settings.training.unroll)
    made_from = (settings.codec, settings.codec_training, settings.operator)
    stages["operator"] = _fit(stage, settings.training, work, *made_from)
    if distributed.is_main():
        save(emulator, work.store.folder / "stages" / "emulator")
    return stages


def train_peer(name: str, peer: StatePeer | ChangePeer, work: Work) -> Fitted:
    """Train one peer by the same loss, on the same batches, with the same budget; save it."""
    settings = work.settings
    stage = Forecast(name, peer, settings.training.unroll)
    fitted = _fit(stage, settings.training, work, settings.peers[name])
    if distributed.is_main():
        save(peer, work.store.folder / "stages" / name / "stepper")
    return fitted


def solver(settings: Run, validation: Trajectory, emulator: Emulator) -> list[Rung]:
    """Return the classical solver on the coarsest grid that is as accurate as the operator on these data."""
    equation = settings.data.equation_class
    if equation is None:
        return []
    protocol = leading_protocol(validation.values.shape[1])
    target = error(emulator, validation.to(distributed.device()), protocol)
    native = validation.values.shape[-1]
    grids = (
        Coarse(equation, validation.fields, cells, native, samples_are_points=True)
        for cells in settings.solver_cells
    )
    place, stepper = match(grids, validation, protocol, target)
    return [Rung(f"solver, {settings.solver_cells[place]} cells", "solver", stepper)]


def describe(settings: Run, parts: dict[str, Trajectory]) -> dict[str, Any]:
    """Return what the report says about the data."""
    first = next(iter(parts.values()))
    fields = asdict(first.fields)
    fields["params"] = {
        name: sorted({f"{value:g}" for part in parts.values() for value in part.params[:, index].tolist()})
        for index, name in enumerate(first.fields.params)
    }
    shape = {"frames": first.values.shape[1], "cells": first.values.shape[-1]}
    counts = {name: len(part) for name, part in parts.items()}
    return {"source": settings.data.kind, "trajectories": counts} | shape | fields


def _fit(stage: Autoencode | Forecast, how: Fit, work: Work, *made_from: Settings) -> Fitted:
    """Fit one stage, watched on the validation split; a forecast is scored by the protocol that will rank it."""
    validation = work.splits.validation.to(distributed.device())
    protocol = leading_protocol(validation.values.shape[1])

    def validate() -> float:
        return error(cast(Forecast, stage).stepper, validation, protocol)

    with bar(f"training {stage.name}") as progress:
        return fit(
            stage,
            work.splits.train,
            work.store,
            how,
            work.settings.seed,
            validate=validate if isinstance(stage, Forecast) else None,
            held_out=validation,
            tracker=work.tracker,
            progress=progress,
            digest=digest([work.splits.digest, *(part.model_dump(mode="json") for part in made_from)]),
        )
