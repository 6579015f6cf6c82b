"""World models as rungs: the mean of the next frame, told the actions, and the frames drawn from noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from ups.config import Settings
from ups.data.controlled import Controlled
from ups.evaluation.ladder import Kind
from ups.evaluation.rollout import rollout
from ups.models.dynamics import Dynamics, DynamicsSettings
from ups.record import Fitted
from ups.runs.rungs import Below, Calibrated, RungSpec
from ups.statistics.bootstrap import bootstrap_mean
from ups.training import distributed
from ups.training.dynamics_stages import Forcing
from ups.training.settings import Fit
from ups.training.stages import Stage
from ups.types import Stepper, Trajectory

ANSWERED = 10
"""Frames over which the answer to other actions is compared with the solver's."""

MEMBERS = 4
"""Of the ensembles whose means answer."""

SIZE = {
    "hidden_dim",
    "num_heads",
    "num_kv_heads",
    "depth",
    "time_every",
    "num_registers",
    "context",
    "num_levels",
}
"""Settings of the network, which a regression shares."""

SAMPLING = ("num_calls", "sampler", "ahead", "stagger")
"""Settings that training does not see."""

MOST_FRAMES = 4096
"""Frames that tell the deviation of the latents."""


@dataclass(frozen=True)
class WorldSpec(RungSpec):
    """A world model; `source` is the data, whose solver says how other actions would be answered."""

    name: str = "world"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("codec",)
    source: Any = None

    @property
    def made_from(self) -> tuple[Settings, ...]:
        """Its own settings, but for those of sampling alone: to draw in another way it is not trained again."""
        drawn = {name: DynamicsSettings.model_fields[name].default for name in SAMPLING}
        return (cast(DynamicsSettings, self.settings).model_copy(update=drawn),)

    def label(self, stepper: Stepper) -> str:
        """Say how it draws."""
        settings = cast(Dynamics, stepper).settings
        if settings.method == "regression":
            return "world, mean of the next frame"
        together = f", {settings.ahead} frames together" if settings.ahead > 1 else ""
        return f"world, {settings.num_calls} calls{together}"

    def build(self, below: Below) -> Dynamics:
        """Return the untrained world model."""
        settings = cast(DynamicsSettings, self.settings)
        made = settings.build(below.normalizer, below.codec, below.train.fields, below.stream(self.name))
        return made.to(distributed.device())

    def prepare(self, stepper: Any, below: Below) -> None:
        """Measure the latents on frames of the training split."""
        frames = below.train.values.flatten(0, 1)
        some = frames[:: max(1, len(frames) // MOST_FRAMES)].to(distributed.device())
        with torch.no_grad():
            tokens = stepper.codec.encode(stepper.normalizer.normalize(some)).flatten(0, 1)
        stepper.latent_mean.copy_(tokens.mean(0))
        stepper.latent_std.copy_(tokens.std(0).clamp(min=1e-6))

    def stage(self, stepper: Any, below: Below) -> Stage:
        """Return the training on windows of latent frames."""
        return Forcing(self.name, stepper, cast(Fit, self.training).unroll)

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Say how it answers other actions, beside the solver."""
        stepper.requires_grad_(False)
        if not isinstance(self.source, Controlled):
            return Calibrated(stepper, fitted)
        data = below.on_device(below.validation)
        found = bootstrap_mean(answer_correlation(stepper, self.source, data, below).numpy(force=True))
        line = (
            f"under the opposite actions it differs as the solver does: correlation {found.mean:.3f} "
            f"[{found.low:.3f}, {found.high:.3f}] over {ANSWERED} frames of {len(data)} validation trajectories"
        )
        return Calibrated(stepper, fitted, (line,), {"answer_correlation": found.mean})


def world_specs(
    settings: DynamicsSettings, training: Fit, source: Any, num_members: int
) -> tuple[RungSpec, ...]:
    """Return the rungs of a world model: the same network as a regression, and itself."""
    mean = DynamicsSettings(method="regression", **settings.model_dump(include=SIZE))
    rungs = [WorldSpec(name="world_mean", settings=mean, training=training, source=source)]
    if settings.method != "regression":
        drawn = WorldSpec(settings=settings, training=training, source=source, num_members=num_members)
        rungs.append(drawn)
    return tuple(rungs)


@torch.no_grad()
def answer_correlation(
    stepper: Stepper, source: Controlled, data: Trajectory, below: Below
) -> Float[Tensor, " trajectory"]:
    """Return how a forecast's answer to the opposite actions goes with the solver's, trajectory by trajectory.

    The correlation over frames, cells and fields of what the true actions and their opposites make of one state, of
    means of a few members that draw the same noise.
    """
    length = min(getattr(stepper, "frames_read", 1) + 1, data.values.shape[1] - ANSWERED)
    actions = cast(Tensor, data.actions)
    context, plan = data.values[:, :length], actions[:, length - 1 : length - 1 + ANSWERED]
    start = source.refined(context[:, -1])
    answers, truths = [], []
    for sign in (1.0, -1.0):
        told = torch.cat([actions[:, : length - 1], sign * plan], 1)
        generator = below.draws("world/answer")
        made = rollout(stepper, context, data.params, ANSWERED, MEMBERS, generator, told)
        answers.append(made.mean(0))
        truths.append(source.answers(start.cpu(), sign * plan.cpu()).to(made))
    mine, true = ((first - second).flatten(1) for first, second in (answers, truths))
    mine, true = mine - mine.mean(1, keepdim=True), true - true.mean(1, keepdim=True)
    size = (mine.square().sum(1) * true.square().sum(1)).sqrt().clamp(min=1e-12)
    return (mine * true).sum(1) / size
