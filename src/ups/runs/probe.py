"""`ups probe`: curvature and gradients of every trained stage of a finished run, read only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from einops import repeat
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.func import functional_call

from ups import checkpoint, record
from ups.config import digest, override, validate
from ups.data.windows import draw_windows
from ups.evaluation.correction_probes import frozen_corrector, jump_objectives, walk_set
from ups.evaluation.denoiser_probes import CANONICAL, Depth, Frozen
from ups.evaluation.denoiser_probes import Probe as DenoiserProbe
from ups.evaluation.denoiser_probes import probe as probe_denoiser
from ups.files import written_whole
from ups.images.bench import ImageRun, load_bench
from ups.models.corrector import Corrected
from ups.models.emulator import Emulator
from ups.models.stochastic import StochasticBaseline
from ups.probes.curvature import Curvature, Objective, curvature
from ups.probes.frozen import ProbeSet, still
from ups.probes.gradients import gradient, module_norms
from ups.probes.products import Params
from ups.record import ImageRecord
from ups.runs import pipeline
from ups.runs.saved import load
from ups.runs.settings import Run
from ups.streams import stream
from ups.training.ensemble_stages import almost_fair_crps
from ups.training.residuals import residuals
from ups.training.stages import relative_error
from ups.types import Trajectory


class StageProbe(Depth):
    """How the curvature of the stages of a physics run is measured: each by its loss on frozen training windows."""

    num_windows: PositiveInt = 16
    """Training windows in the probe batch."""
    num_steps: PositiveInt = 1
    """Frames that a stepper forecasts in a window."""
    max_lanczos: PositiveInt = 20
    """Lanczos steps for the largest and the smallest eigenvalue, at most."""


@dataclass(frozen=True)
class Finding:
    """The curvature of one stage under one objective, and the gradient of each of its modules."""

    stage: str
    curvature: Curvature
    gradient_by_module: dict[str, float]

    @property
    def line(self) -> str:
        """The main figures as one line."""
        found = self.curvature
        return (
            f"{self.stage}, {found.weights} weights, {found.objective}: loss {found.loss:.4g}, "
            f"gradient {found.gradient_norm:.4g}, trace {found.trace.mean:.4g} +- {found.trace.sem:.2g}, "
            f"Gauss-Newton trace {found.gauss_newton.mean:.4g} +- {found.gauss_newton.sem:.2g}, "
            f"eigenvalues {found.eigenvalues.smallest:.4g} to {found.eigenvalues.largest:.4g}"
        )


def probe(run_dir: Path, assignments: Sequence[str], say: Callable[[str], None]) -> Path:
    """Measure every trained stage of a run, say the main figures, and write all of them to RUN/probes/.

    `assignments` change how it is measured, e.g. num_vectors=64 precision=float64. Equal ones give equal probe sets,
    so that runs on the same data can be compared; the file holds the hashes of the sets. Those of a corrector and
    its student hold what the operator below them says, and compare on one operator only.

    Raises:
        UserError: the run is not finished, or an assignment names no setting.
    """
    made = record.read_finished(run_dir)
    if isinstance(made, ImageRecord):
        settings = validate(ImageRun, made.settings)
        how: DenoiserProbe | StageProbe = override(settings.probe, assignments)
        findings = _probe_images(settings.model_copy(update={"probe": how}), run_dir)
    else:
        how = override(StageProbe(), assignments)
        findings = _probe_stages(validate(Run, made.settings), how, run_dir, made.stages)
    path = run_dir / "probes" / f"{digest(how, 8)}.json"
    measured = []
    for finding in findings:
        say(finding.line)
        measured.append(asdict(finding) | {"numbers": finding.curvature.numbers})
    with written_whole(path) as temporary:
        temporary.write_text(
            json.dumps({"probe": how.model_dump(mode="json"), "measured": measured}, indent=1)
        )
    return path


def _probe_images(settings: ImageRun, run_dir: Path) -> Iterator[Finding]:
    found = load_bench(settings).probe_set
    for weights in settings.probe.weights:
        denoiser = checkpoint.load(run_dir / "stages" / "denoiser" / weights)
        frozen = Frozen(denoiser, found, settings.probe.precision)
        objectives = settings.probe.all_objectives(settings.weighting)
        yield from _denoiser("denoiser", frozen, settings.probe, objectives, weights)


def _probe_stages(settings: Run, how: StageProbe, run_dir: Path, stages: Iterable[str]) -> Iterator[Finding]:
    train = pipeline.load(settings).train

    def windows(length: int) -> Trajectory:
        return draw_windows(train, how.num_windows, length, stream(how.seed, "probes/windows"))

    for name in stages:
        match name:
            case "codec":
                yield _codec(cast(Emulator, load(run_dir, "operator")), windows(1), how)
            case "corrector":
                yield from _corrector(cast(Corrected, load(run_dir, name)), windows, how)
            case "student":
                pair = (cast(Corrected, load(run_dir, each)) for each in ("student", "corrector"))
                yield _student(*pair, windows, how)
            case _:
                stepper = load(run_dir, name)
                batch = windows(stepper.num_context + how.num_steps)
                objective, params = forecast_objective(stepper, batch, how)
                yield _finding(name, objective, params, _windows_set(batch, how), how)


def forecast_objective(stepper: Any, batch: Trajectory, how: StageProbe) -> tuple[Objective, Params]:
    """Return the forecast loss of a stepper on frozen windows, and its parameters; a codec below it stays fixed.

    Of a stochastic stepper it is the CRPS of its members, whose noise is frozen too. That loss is piecewise linear in
    the forecast, so its Gauss-Newton trace is zero.
    """
    drawn = isinstance(stepper, StochasticBaseline)
    if isinstance(stepper, Emulator):
        cast(nn.Module, stepper.codec).requires_grad_(False)
    num_members = stepper.settings.num_members if drawn else 1
    twin, params = still(Rolled(stepper, how.num_steps, num_members, how.seed), getattr(torch, how.precision))
    values = batch.values.to(getattr(torch, how.precision))
    equation = batch.params.to(values.dtype)
    context, truth = values[:, : stepper.num_context], values[:, stepper.num_context :]

    def outputs(weights: Params) -> Tensor:
        return functional_call(twin, weights, (context, equation))

    def loss(forecast: Tensor) -> Tensor:
        if not drawn:
            return relative_error(forecast[0], truth).mean()
        std = stepper.normalizer.std.to(truth).view(-1, *[1] * (truth.ndim - 3))
        return (almost_fair_crps(forecast, truth, stepper.settings.fairness) / std).mean()

    error = f"CRPS of {num_members} members" if drawn else "relative error"
    return Objective(f"forecast of {how.num_steps} frame(s), {error}", outputs, loss), params


class Rolled(nn.Module):
    """A stepper as one function: (context, params) -> the next frames of every member, always with the same noise."""

    def __init__(self, stepper: Any, num_steps: int, num_members: int, seed: int) -> None:
        super().__init__()
        self.stepper, self.num_steps = stepper, num_steps
        self.num_members, self.seed = num_members, seed

    def forward(self, context: Tensor, params: Tensor) -> Tensor:
        """Return the forecast [member, batch, time, field, ...]."""
        generator = stream(self.seed, "probes/members", device=context.device)
        state = self.stepper.encode(
            *(
                repeat(each, "batch ... -> (member batch) ...", member=self.num_members)
                for each in (context, params)
            )
        )
        frames = []
        for _ in range(self.num_steps):
            state = self.stepper.advance(state, generator)
            frames.append(self.stepper.decode(state))
        return torch.stack(frames, 1).unflatten(0, (self.num_members, -1))


class Reconstructed(nn.Module):
    """The codec of an emulator as one function: frames -> the same, encoded and decoded."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self.emulator = emulator

    def forward(self, values: Tensor) -> Tensor:
        """Return the reconstruction."""
        return self.emulator.reconstruct(values)


def _codec(emulator: Emulator, batch: Trajectory, how: StageProbe) -> Finding:
    cast(nn.Module, emulator.operator).requires_grad_(False)
    twin, params = still(Reconstructed(emulator), getattr(torch, how.precision))
    values = batch.values.to(getattr(torch, how.precision))

    def outputs(weights: Params) -> Tensor:
        return functional_call(twin, weights, (values,))

    def loss(frames: Tensor) -> Tensor:
        return relative_error(frames, values).mean()

    objective = Objective("reconstruction, relative error", outputs, loss)
    return _finding("codec", objective, params, _windows_set(batch, how), how)


def _corrector(
    corrected: Corrected, windows: Callable[[int], Trajectory], how: StageProbe
) -> Iterator[Finding]:
    corrector = corrected.correction
    given, residual = residuals(corrected.emulator, windows(corrected.emulator.codec.spin_up + 1), 0)
    frozen = frozen_corrector(corrector, given, residual, how)
    own = corrector.settings.weighting
    objectives = {each.name: each for each in (CANONICAL, own)}.values()
    yield from _denoiser("corrector", frozen, how, objectives, "kept")


def _student(
    student: Corrected, teacher: Corrected, windows: Callable[[int], Trajectory], how: StageProbe
) -> Finding:
    given, _ = residuals(teacher.emulator, windows(teacher.emulator.codec.spin_up + 1), 0)
    walk = walk_set(teacher.correction, given, student.correction.settings.teacher_steps, how)
    objective, params, jumps = jump_objectives(student.correction, walk, how.precision)
    return _finding("student", objective, params, walk, how, jumps)


def _denoiser(
    stage: str, frozen: Frozen, depth: Depth, objectives: Iterable[Any], weights: str
) -> Iterator[Finding]:
    for each in objectives:
        (measured,) = probe_denoiser(frozen, depth, [each], weights)
        slope = gradient(frozen.objective(each.name, each.build()), frozen.params)
        yield Finding(stage, measured, module_norms(slope, depth=3))


def _finding(
    stage: str,
    objective: Objective,
    params: Params,
    found: ProbeSet,
    how: StageProbe,
    parts: dict[str, Objective] | None = None,
) -> Finding:
    measured = curvature(objective, params, found, "kept", parts or {}, how.max_lanczos)
    return Finding(stage, measured, module_norms(gradient(objective, params), depth=3))


def _windows_set(batch: Trajectory, how: StageProbe) -> ProbeSet:
    return ProbeSet({"values": batch.values, "params": batch.params}, how.seed, how.num_vectors)
