"""READ FIRST. A run from top to bottom: data, codec, operator, peers, corrector, student, ladder, report."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from torch import Generator, nn

from ups import record
from ups.config import Settings, digest
from ups.data.kicked import Kicked
from ups.data.pdebench import PDEBench
from ups.data.splits import Splits, initial_hashes, split
from ups.data.steady import Steady
from ups.data.synthetic import Synthetic
from ups.evaluation.ladder import Rung, error, leading_protocol, match, measure
from ups.evaluation.outcomes import compare_outcomes
from ups.evaluation.protocols import ONE_STEP, PDEBENCH
from ups.evaluation.rows import RowStore
from ups.files import written_whole
from ups.models.autoencoder import AutoencoderSettings, IdentityPatches
from ups.models.checkpoint import save
from ups.models.colored_noise import ColoredNoise
from ups.models.corrector import Corrected, CorrectorSettings
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import OperatorSettings, SpectralFlux
from ups.models.peers import (
    ChangePeer,
    DilatedResNet,
    PDEBenchFNO,
    Persistence,
    StatePeer,
    TunedFNO,
    UNet1d,
)
from ups.models.residual import ResidualSpectrum
from ups.models.stochastic import StochasticOperator, StochasticPeer
from ups.models.student import StudentSettings
from ups.progress import bar
from ups.solvers.stepper import Coarse
from ups.streams import stream
from ups.reports.report import write_report
from ups.training import distributed
from ups.training.corrector_stages import Correct, explain, judge
from ups.training.ensemble_stages import CRPSForecast
from ups.training.fit import Fitted, fit
from ups.training.power import match_power
from ups.training.residuals import residual_spectrum
from ups.training.settings import Fit
from ups.training.stages import Autoencode, Forecast, Stage
from ups.training.start import look_at
from ups.training.store import Store
from ups.training.student_stages import Distill
from ups.training.trackers import Tracker, open_tracker
from ups.training.update import check
from ups.types import Trajectory

KNOWN = "known_initial_conditions.json"

PeerSettings = Annotated[
    PDEBenchFNO | TunedFNO | DilatedResNet | UNet1d | StochasticOperator, Field(discriminator="kind")
]
Peer = StatePeer | ChangePeer | StochasticPeer


class Run(Settings):
    """All that a run depends on; a recipe is a function that returns one."""

    data: Annotated[Synthetic | Kicked | Steady | PDEBench, Field(discriminator="kind")]
    """Where the trajectories come from."""
    codec: AutoencoderSettings = IdentityPatches()
    """Between frames and the tokens that the operator advances."""
    operator: OperatorSettings = SpectralFlux()
    """Our network: the change of the tokens over one frame."""
    peers: dict[str, PeerSettings] = {}
    """The networks that one would otherwise pick, trained on the same batches with the same budget."""
    corrector: CorrectorSettings | None = None
    """The generative model of what the operator gets wrong; null leaves it and its baselines out."""
    student: StudentSettings | None = None
    """The corrector in one or two network calls; null leaves it out."""
    solver_cells: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 64, 128, 256, 512, 1024)
    """Grids of the classical solver; the coarsest that is as accurate as the operator becomes a rung."""
    codec_training: Fit = Fit(updates=2000, unroll=((0.0, 1),))
    """How the codec is trained, if it has anything to train."""
    training: Fit = Fit(seconds=60.0)
    """How the operator and each peer are trained."""
    corrector_training: Fit = Fit(seconds=120.0, unroll=((0.0, 1),))
    """How the corrector is trained."""
    student_training: Fit = Fit(seconds=120.0, unroll=((0.0, 1),))
    """How the student is trained."""
    num_members: Annotated[int, Field(ge=2)] = 16
    """Members of the ensembles that stochastic rungs forecast."""
    seed: NonNegativeInt = 0
    """Of initial weights, batches and noise; data have their own."""

    @field_validator("peers")
    @classmethod
    def _names_are_folders(cls, peers: dict[str, PeerSettings]) -> dict[str, PeerSettings]:
        taken = {"operator", "codec", "emulator", "corrector", "student"}
        for name in peers:
            if name in taken or not name.isidentifier():
                raise ValueError(
                    f"'{name}' cannot name a peer: use letters, digits and _, and none of {sorted(taken)}"
                )
        return peers

    @model_validator(mode="after")
    def _a_student_has_a_teacher(self) -> Run:
        if self.student and not self.corrector:
            raise ValueError("student: there is no corrector to teach it; set corrector, or student=null")
        return self


@dataclass(frozen=True)
class Work:
    """What every stage of one run is trained from and written to."""

    settings: Run
    splits: Splits
    store: Store
    tracker: Tracker | None = None

    def stream(self, name: str) -> Generator:
        """Return the stream of random numbers of that name, on the device of the networks."""
        return stream(self.settings.seed, name, device=distributed.device())


def run(settings: Run, folder: Path, tracker: str = "none") -> None:
    """Train every stage, measure the ladder on the test split, write the report. Run again to resume.

    Nothing is written before the data are read and every network is built. `tracker` names the dashboard that
    also gets the training logs ("trackio", "tensorboard", "wandb").
    """
    dashboard = open_tracker(tracker, "ups", folder)
    splits = load(settings)
    networks = build(settings, splits)
    with Store(folder) as store:
        begun = record.begin(folder, settings) if distributed.is_main() else {}
        remember(splits, folder)
        if "finished" in begun:
            sys.stderr.write(f"finished before; report: {folder / 'report.html'}\n")
            return

        work = Work(settings, splits, store, dashboard)
        fitted = train_emulator(networks.emulator, work)
        for name, peer in networks.peers.items():
            fitted[name] = train_peer(name, peer, work)
        judged, guards = {}, {}
        if networks.corrected:
            fitted["corrector"], judged["corrector"] = train_corrector(networks.corrected, work)
            guards["corrector"] = explain(judged["corrector"])
            sys.stderr.write("".join(f"corrector: {line}\n" for line in guards["corrector"]))
        if networks.corrected and settings.student:
            networks = replace(networks, student=settings.student.build(networks.corrected))
            fitted["student"] = train_student(networks, work)
        if not distributed.is_main():
            return

        seconds = {name: stage.seconds for name, stage in fitted.items()}
        rungs = ladder(settings, splits.validation, networks, seconds)
        with bar("evaluating") as progress:
            rows = RowStore(folder, run=folder.name, seed=settings.seed)
            test = splits.test.to(distributed.device())
            found = measure(rungs, networks.emulator.reconstruct, test, rows, progress)
        if isinstance(settings.data, Steady):
            guards["outcomes"] = compare_outcomes(rungs, test, settings.seed)

        found["stages"] = {name: asdict(stage) for name, stage in fitted.items()}
        found["guards"], found["judged"] = guards, judged
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        found["data"] = {"digest": splits.digest} | record.describe(settings.data.kind, parts)
        made = begun | found | {"evaluated": record.now()}
        record.write(folder, made)
        write_report(folder)
        # last: a run without its report is not finished
        record.write(folder, made | {"finished": record.now()})
        sys.stderr.write(f"report: {folder / 'report.html'}\n")


@dataclass(frozen=True)
class Networks:
    """Every network of a run, from the emulator up."""

    emulator: Emulator
    peers: dict[str, Peer]
    corrected: Corrected | None = None
    student: Corrected | None = None


def build(settings: Run, splits: Splits) -> Networks:
    """Return every network, untrained, and see that data and settings fit; the student comes from its teacher.

    Raises:
        UserError: they do not fit.
    """
    emulator = build_emulator(settings, splits)
    peers = {name: build_peer(settings, name, splits) for name in settings.peers}
    for name, stepper in {"operator": emulator, **peers}.items():
        check(Forecast(name, stepper, settings.training.unroll), splits.train, settings.training)
    if not settings.corrector:
        return Networks(emulator, peers)
    codec = emulator.codec
    unknown = ResidualSpectrum(torch.ones(codec.num_tokens // 2 + 1, codec.dim), codec.num_tokens)
    corrected = settings.corrector.build(emulator, unknown, stream(settings.seed, "corrector"))
    corrected = corrected.to(distributed.device())
    check(Correct("corrector", corrected), splits.train, settings.corrector_training)
    return Networks(emulator, peers, corrected)


def ladder(settings: Run, data: Trajectory, networks: Networks, seconds: dict[str, float]) -> list[Rung]:
    """Return the rungs of a run; `data` choose the classical solver that is as accurate as the operator."""
    emulator, members = networks.emulator, settings.num_members
    rungs = [Rung("persistence", "trivial", Persistence()), *solver(settings, data, emulator)]
    for name, peer in networks.peers.items():
        drawn = isinstance(peer, StochasticPeer)
        rungs.append(Rung(name, "peer", peer, seconds[name], members if drawn else 1))
    spent = seconds.get("operator", 0.0) + seconds.get("codec", 0.0)
    rungs.append(Rung("operator", "ours", emulator, spent))
    if networks.corrected:
        noise = ColoredNoise(emulator, networks.corrected.correction.spectrum)
        rungs.append(Rung("operator + colored noise", "peer", noise, spent, members))
        spent += seconds["corrector"]
        rungs.append(Rung("corrector", "ours", networks.corrected, spent, members))
    if networks.student:
        spent += seconds["student"]
        rungs.append(Rung("student", "ours", networks.student, spent, members))
    if isinstance(settings.data, Steady):
        rungs.append(Rung("climatology", "trivial", settings.data.climatology(), num_members=members))
    if isinstance(settings.data, Kicked):
        perfect = settings.data.perfect()
        rungs.append(Rung("perfect ensemble", "ceiling", perfect, num_members=members))
    return rungs


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
    operator = settings.operator.build(codec, fields, stream(settings.seed, "operator"))
    emulator = Emulator(fit_normalizer(splits.train), codec, operator, fields, num_cells)
    return emulator.to(distributed.device())


def build_peer(settings: Run, name: str, splits: Splits) -> Peer:
    """Return an untrained peer."""
    fields, num_cells = splits.train.fields, splits.train.values.shape[-1]
    generator = stream(settings.seed, name)
    peer = settings.peers[name].build(fields, fit_normalizer(splits.train), num_cells, generator)
    return peer.to(distributed.device())


def train_emulator(emulator: Emulator, work: Work) -> dict[str, Fitted]:
    """Train the codec, then the operator on top of it, each if it has parameters; save both as one emulator."""
    stages = {}
    settings, codec = work.settings, cast(nn.Module, emulator.codec)
    if any(parameter.requires_grad for parameter in codec.parameters()):
        stage = Autoencode("codec", codec, emulator.normalizer)
        stages["codec"] = _fit(stage, settings.codec_training, work, settings.codec)
        codec.requires_grad_(False)  # the operator learns to move in a fixed space
    looked = look_at(emulator, work.splits.train)
    if any(parameter.requires_grad for parameter in cast(nn.Module, emulator.operator).parameters()):
        stage = Forecast("operator", emulator, settings.training.unroll, settings.training.noise)
        made_from = (settings.codec, settings.codec_training, settings.operator)
        fitted = _fit(stage, settings.training, work, *made_from)
        stages["operator"] = replace(fitted, seconds=fitted.seconds + looked)
    emulator.requires_grad_(False)  # what comes on top leaves it as it is
    if distributed.is_main():
        save(emulator, work.store.folder / "stages" / "emulator")
    return stages


def train_corrector(corrected: Corrected, work: Work) -> tuple[Fitted, dict[str, float]]:
    """Train the corrector on the operator's residuals; save it with its emulator; say what it has learned.

    The size and the spectrum of the residuals are those of the validation split: on trajectories that the operator
    was trained on they are too small.
    """
    settings, splits = work.settings, work.splits
    how = cast(CorrectorSettings, settings.corrector)
    corrector, validation = corrected.correction, splits.validation.to(distributed.device())
    spectrum = residual_spectrum(corrected.emulator, validation, how.rolled_steps)
    corrector.spectrum.load_state_dict(spectrum.state_dict())
    stage = Correct("corrector", corrected)
    made_from = (settings.codec, settings.codec_training, settings.operator, settings.training, how)
    fitted = _fit(stage, settings.corrector_training, work, *made_from)
    train = splits.train.to(distributed.device())
    fitted = match_power("corrector", corrected, train, fitted, work.stream("corrector/power"))
    if distributed.is_main():
        save(corrected, work.store.folder / "stages" / "corrector" / "stepper")
    return fitted, judge(stage, train, validation, work.stream("corrector/judge"))


def train_student(networks: Networks, work: Work) -> Fitted:
    """Train the student to do in few jumps what its teacher, the corrector, does in many; save it."""
    settings = work.settings
    student, corrected = cast(Corrected, networks.student), cast(Corrected, networks.corrected)
    corrected.requires_grad_(False)
    stage = Distill("student", student, corrected)
    made_from = (settings.operator, settings.training, settings.corrector, settings.corrector_training)
    fitted = _fit(stage, settings.student_training, work, *made_from, cast(StudentSettings, settings.student))
    train = work.splits.train.to(distributed.device())
    fitted = match_power("student", student, train, fitted, work.stream("student/power"))
    if distributed.is_main():
        save(student, work.store.folder / "stages" / "student" / "stepper")
    return fitted


def train_peer(name: str, peer: Peer, work: Work) -> Fitted:
    """Train one peer by the same loss, on the same batches, with the same budget; save it.

    A stochastic peer has the CRPS of its members for a loss.
    """
    settings, how = work.settings, work.settings.training
    if isinstance(peer, StochasticPeer):
        how = how.model_copy(update={"unroll": peer.settings.unroll})
        stage = CRPSForecast(name, peer, how.unroll, peer.settings.num_members, peer.settings.fairness)
    else:
        stage = Forecast(name, peer, how.unroll, how.noise)
    fitted = _fit(stage, how, work, settings.peers[name])
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


def _fit(stage: Stage, how: Fit, work: Work, *made_from: Settings | None) -> Fitted:
    """Fit one stage, watched on the validation split; a forecast is scored by the protocol that will rank it.

    What is trained one step ahead, as the mean of a random future must be, is scored one step ahead.
    """
    validation = work.splits.validation.to(distributed.device())
    leading = leading_protocol(validation.values.shape[1])
    protocol = ONE_STEP if leading is PDEBENCH and max(steps for _, steps in how.unroll) == 1 else leading

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
            digest=digest([
                work.splits.digest,
                *(part and part.model_dump(mode="json") for part in made_from),
            ]),
        )
