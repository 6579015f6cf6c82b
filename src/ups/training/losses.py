"""Terms of an operator's loss beside the error of its forecast: of the codec, of the waves, of the equation.

Each looks at one step from a true frame, is dimensionless, and is logged by its name without its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor

from ups.config import Settings
from ups.models.emulator import Emulator
from ups.models.step_residual import Residual
from ups.models.token_waves import TokenWaves, mode_powers
from ups.training.stages import AT_REST, PerWindow, Step, Term, relative_error
from ups.types import UserError


class Losses(Settings):
    """What an operator is trained by beside the error of its forecast; a weight of 0 leaves a term out."""

    joint: bool = False
    """Whether the codec goes on learning with the operator; else it is fixed once it is trained."""
    inverse: NonNegativeFloat = 0.0
    """Weight of D(E(u)) against u and of E(D(z)) against z, for frames u, forecast tokens z, encoder E and decoder D:
    so a rollout in tokens stays where the codec knows its way. Source: Alkin et al., arXiv:2402.12365, section 3.3."""
    spectral: NonNegativeFloat = 0.0
    """Weight of the error of every wave in parts of its own power: a wave with a millionth of it counts like any."""
    physics: NonNegativeFloat = 0.0
    """Weight of what a step leaves of the equation that is stated with the data (`models/step_residual.py`)."""
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Part of the budget without these terms; over as much again their weights rise to the full."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the windows of a batch on which they are measured; fewer cost less and say the same on average."""

    @model_validator(mode="after")
    def _an_inverse_has_a_codec_to_learn(self) -> Losses:
        if self.inverse and not self.joint:
            raise ValueError("inverse losses train the codec: set joint=true too")
        return self

    def terms(self, emulator: Emulator, residual: Residual | None) -> tuple[Term, ...]:
        """Return the terms that have a weight.

        Raises:
            UserError: the residual has a weight, but there is none.
        """
        if self.physics and residual is None:
            raise UserError("setting 'losses.physics': the data state no equation whose residual is known")
        found: list[tuple[str, float, Callable[[Step], PerWindow]]] = [
            ("reconstruction", self.inverse, Reconstruction(emulator)),
            ("tokens", self.inverse, Tokens(emulator)),
            ("spectral", self.spectral, Waves(TokenWaves(emulator.fields.grid))),
        ]
        if residual is not None:
            found.append(("physics", self.physics, Physics(residual, emulator.normalizer.std)))
        return tuple(Term(*each) for each in found if each[1])


@dataclass(frozen=True)
class Reconstruction:
    """D(E(u)) against u, in physical units: `relative_error` of both frames of the step."""

    emulator: Emulator

    def __call__(self, step: Step) -> PerWindow:
        """Return the error of each window."""
        frames = torch.stack([step.before, step.truth], 1)
        return relative_error(self.emulator.reconstruct(frames), frames, self.emulator.normalizer.std)


@dataclass(frozen=True)
class Tokens:
    """E(D(z)) against z, for the tokens z of the forecast: |E(D(z)) - z|^2 / |z|^2, no gradient through the target."""

    emulator: Emulator

    def __call__(self, step: Step) -> PerWindow:
        """Return the error of each window."""
        codec, z = self.emulator.codec, step.state[0]
        wrong = codec.encode(codec.decode(z)) - z.detach()
        size = z.detach().square().flatten(1).sum(1).clamp_min(torch.finfo(z.dtype).tiny)
        return wrong.square().flatten(1).sum(1) / size


@dataclass(frozen=True)
class Waves:
    """mean_k |u_k - v_k|^2 / (|v_k|^2 + 1e-6 mean_k |v_k|^2), the waves of forecast u and truth v; mean over fields."""

    waves: TokenWaves

    def __call__(self, step: Step) -> PerWindow:
        """Return the error of each window."""
        wrong, truth = (self._powers(frames) for frames in (step.made - step.truth, step.truth))
        shares = self.waves.shares().to(truth)
        over = tuple(range(1, truth.ndim - 1))
        mean = (shares * truth).sum(over, keepdim=True)
        floor = (AT_REST * mean).clamp_min(torch.finfo(truth.dtype).tiny)
        return (shares * wrong / (truth + floor)).sum(over).mean(1).float()

    def _powers(self, frames: Float[Tensor, "batch field *grid"]) -> Tensor:
        return mode_powers(rearrange(frames.flatten(2), "batch field cell -> batch cell field"), self.waves)


@dataclass(frozen=True)
class Physics:
    """Squared residual of the step over the squared rate of the true frame before it, fields averaged."""

    residual: Residual
    std: Float[Tensor, " field"]

    def __call__(self, step: Step) -> PerWindow:
        """Return the error of each window."""
        rate = self.residual.rate(step.before, step.params)
        left = self.residual(step.before, step.made, step.params)
        size = rate.square().flatten(2).sum(2)
        floor = AT_REST * (self.std.double() / self.residual.duration).square() * math.prod(rate.shape[2:])
        return (left.square().flatten(2).sum(2) / size.maximum(floor)).mean(1).float()
