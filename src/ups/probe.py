"""`ups probe`: curvature and gradients of the trained networks of a finished run, read only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.func import functional_call

from ups import pipeline
from ups.config import Settings, digest, override
from ups.data.windows import draw_windows
from ups.evaluation.denoiser_probes import Frozen
from ups.evaluation.denoiser_probes import Probe as DenoiserProbe
from ups.evaluation.denoiser_probes import probe as probe_denoiser
from ups.files import written_whole
from ups.image_bench import ImageRun, load_bench
from ups.models.image_denoiser import load_denoiser
from ups.predict import load_trained
from ups.probes.curvature import Curvature, Objective, curvature
from ups.probes.frozen import ProbeSet, still
from ups.probes.gradients import gradient, module_norms
from ups.probes.products import Params
from ups.runs import read_settings
from ups.streams import stream
from ups.training.stages import relative_error
from ups.types import Trajectory


class ForecastProbe(Settings):
    """How the curvature of a stepper is measured: its forecast loss on frozen training windows."""

    num_windows: PositiveInt = 16
    """Training windows in the probe batch."""
    num_steps: PositiveInt = 1
    """Frames that are forecast in a window."""
    num_vectors: PositiveInt = 8
    """Rademacher vectors of each trace."""
    max_lanczos: PositiveInt = 20
    """Lanczos steps for the largest and the smallest eigenvalue, at most."""
    precision: Literal["float32", "float64"] = "float32"
    """In which the products are computed."""
    seed: NonNegativeInt = 0
    """Of the windows and the vectors."""


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


class Rolled(nn.Module):
    """A stepper as one function: (context, params) -> the next frames."""

    def __init__(self, stepper: Any, num_steps: int) -> None:
        super().__init__()
        self.stepper, self.num_steps = stepper, num_steps

    def forward(self, context: Tensor, params: Tensor) -> Tensor:
        """Return the forecast [batch, time, field, ...]."""
        state = self.stepper.encode(context, params)
        frames = []
        for _ in range(self.num_steps):
            state = self.stepper.advance(state)
            frames.append(self.stepper.decode(state))
        return torch.stack(frames, 1)


def probe(run_dir: Path, assignments: Sequence[str], say: Callable[[str], None]) -> Path:
    """Measure every trained stage of a run, say the main figures, and write all of them to RUN/probes/.

    `assignments` change how it is measured, e.g. num_vectors=64 precision=float64. Equal ones give equal probe sets,
    so that runs on the same data can be compared; the file holds the hashes of the sets.

    Raises:
        UserError: the run is not finished, or an assignment names no setting.
    """
    settings, _ = read_settings(run_dir)
    if isinstance(settings, ImageRun):
        how: DenoiserProbe | ForecastProbe = override(settings.probe, assignments)
        findings = _probe_images(settings.model_copy(update={"probe": how}), run_dir)
    else:
        how = override(ForecastProbe(), assignments)
        findings = _probe_forecasts(settings, how, run_dir)
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
    objectives = settings.probe.all_objectives(settings.weighting)
    for weights in settings.probe.weights:
        denoiser = load_denoiser(run_dir / "stages" / "denoiser" / weights)
        frozen = Frozen(denoiser, found, settings.probe.precision)
        for each in objectives:
            (measured,) = probe_denoiser(denoiser, found, settings.probe, [each], weights)
            slope = gradient(frozen.objective(each.name, each.build()), frozen.params)
            yield Finding("denoiser", measured, module_norms(slope, depth=3))


def _probe_forecasts(settings: pipeline.Run, how: ForecastProbe, run_dir: Path) -> Iterator[Finding]:
    train = pipeline.load(settings).train
    for name in ("operator", *settings.peers):
        stepper = load_trained(run_dir, name)
        batch = draw_windows(
            train, how.num_windows, stepper.num_context + how.num_steps, stream(how.seed, "probes/windows")
        )
        found = ProbeSet({"values": batch.values, "params": batch.params}, how.seed, how.num_vectors)
        objective, params = forecast_objective(stepper, batch, how)
        measured = curvature(objective, params, found, "kept", max_lanczos=how.max_lanczos)
        yield Finding(name, measured, module_norms(gradient(objective, params), depth=3))


def forecast_objective(stepper: Any, batch: Trajectory, how: ForecastProbe) -> tuple[Objective, Params]:
    """Return the forecast loss of a stepper on frozen windows, and its parameters."""
    twin, params = still(Rolled(stepper, how.num_steps), getattr(torch, how.precision))
    values = batch.values.to(getattr(torch, how.precision))
    equation = batch.params.to(values.dtype)
    context, truth = values[:, : stepper.num_context], values[:, stepper.num_context :]

    def outputs(weights: Params) -> Tensor:
        return functional_call(twin, weights, (context, equation))

    def loss(forecast: Tensor) -> Tensor:
        return relative_error(forecast, truth).mean()

    return Objective(f"forecast of {how.num_steps} frame(s), relative error", outputs, loss), params
