"""What is trained and by which loss: Forecast (any stepper) and Autoencode (a codec)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.training.optim import trainable
from ups.types import Stepper, Trajectory

PerWindow = Float[Tensor, "batch"]
Loss = tuple[PerWindow, dict[str, PerWindow]]


@runtime_checkable
class Stage(Protocol):
    """A model and its loss: all that `fit` needs to know.

    The parts of a loss are "trivial", the loss of the trivial predictor on the same frames, and the terms of the
    loss by name, if it has several; each term must carry a gradient.
    """

    @property
    def name(self) -> str:
        """The name of the stage: its folder, and its random streams."""
        ...

    @property
    def model(self) -> nn.Module:
        """The module whose parameters with `requires_grad` are trained."""
        ...

    def window(self, progress: float) -> int:
        """Return the number of frames of a training window at a fraction of the budget."""
        ...

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the loss of each window of the batch, and its parts; a model in evaluation mode stays as it is."""
        ...


@runtime_checkable
class Diagnosed(Protocol):
    """A stage that says more about its held-out loss than one number: a denoiser, say, its loss per noise level."""

    def diagnose(self, batch: Trajectory, generator: Generator) -> dict[str, float]:
        """Return means over the windows of a batch, by the same names for every batch; nothing else changes."""
        ...


@runtime_checkable
class Weighted(Protocol):
    """A stage whose loss has further terms, with weights that depend on how much of the budget is used."""

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of each of these parts of the loss; they are added to it."""
        ...


class Step(NamedTuple):
    """One step from a true frame: what a further term of the loss looks at."""

    before: Float[Tensor, "batch field *grid"]
    """The last frame of the context."""
    state: Any
    """The stepper's state after the step."""
    made: Float[Tensor, "batch field *grid"]
    """Its frame."""
    truth: Float[Tensor, "batch field *grid"]
    """What it should be."""
    params: Float[Tensor, "batch param"]


class Term(NamedTuple):
    """A further term of the loss."""

    name: str
    weight: float
    measure: Callable[[Step], PerWindow]


AT_REST = 1e-6
"""Squared norm of a frame, in parts of the usual one, below which an error is measured by that instead."""


def relative_error(
    prediction: Float[Tensor, "batch time field *space"],
    truth: Float[Tensor, "batch time field *space"],
    std: Float[Tensor, " field"] | None = None,
) -> PerWindow:
    """Squared error over squared norm of the truth, per frame and field, averaged over both.

    mean_{time, field} (sum_x (prediction - truth)^2 / sum_x truth^2); dimensionless; 1 is as bad as predicting
    zero. A frame whose squared norm is below 1e-6 of the window's mean (a field at rest) counts by that instead, and
    so does one that is below 1e-6 of what the field's deviation in the data, `std`, makes of it: a field that dies
    out in some trajectories would else outweigh all others.
    """
    error = (prediction.float() - truth).square().flatten(3).sum(-1)
    norm = truth.square().flatten(3).sum(-1)
    floor = (AT_REST * norm.mean(1, keepdim=True)).clamp_min(torch.finfo(norm.dtype).tiny)
    if std is not None:
        floor = floor.maximum(AT_REST * std.square() * math.prod(truth.shape[3:]))
    return (error / norm.maximum(floor)).mean((1, 2))


def forecast_frames(
    stepper: Stepper,
    context: Float[Tensor, "batch context field *space"],
    params: Float[Tensor, "batch param"],
    num_steps: int,
    generator: Generator,
) -> Float[Tensor, "batch time field *space"]:
    """Encode the context once, then advance and decode frame by frame; the gradient runs through the whole unroll."""
    state = stepper.encode(context, params)
    frames = []
    for _ in range(num_steps):
        state = stepper.advance(state, generator)
        frames.append(stepper.decode(state))
    return torch.stack(frames, 1)


@dataclass(frozen=True)
class Forecast:
    """Train a stepper to forecast; `unroll` holds pairs (fraction of the budget, steps).

    Gaussian noise on the context, of a deviation drawn between zero and `noise` of the field's own, shows the
    stepper states near those of the data and where they lead, so that a long rollout returns to the data instead
    of leaving them. Source: Sanchez-Gonzalez et al., arXiv:2002.09405, section 4.

    The trivial predictor is persistence: the last frame of the context, unchanged. Further `terms` are measured on
    one step of a share of the windows; their weights are 0 up to `warmup` and full from twice that on.
    """

    name: str
    stepper: Stepper
    unroll: tuple[tuple[float, int], ...] = ((0.0, 1),)
    noise: float = 0.0
    terms: tuple[Term, ...] = ()
    warmup: float = 0.0
    share: float = 1.0

    @property
    def model(self) -> nn.Module:
        """The stepper, which is a module too."""
        return cast(nn.Module, self.stepper)

    def window(self, progress: float) -> int:
        """Return the context and the steps of the phase at `progress`."""
        return self.stepper.num_context + [steps for start, steps in self.unroll if start <= progress][-1]

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the relative error of the forecast frames; see `relative_error`."""
        num_context = self.stepper.num_context
        context, truth = batch.values[:, :num_context], batch.values[:, num_context:]
        persistence = context[:, -1:].expand_as(truth)
        if self.noise:
            context = disturb(context, self.noise, generator)
        frames = forecast_frames(self.stepper, context, batch.params, truth.shape[1], generator)
        normalizer = getattr(self.stepper, "normalizer", None)
        std = None if normalizer is None else normalizer.std
        parts = {"trivial": relative_error(persistence, truth, std)}
        return relative_error(frames, truth, std), parts | self._further(batch, generator)

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of each further term."""
        risen = min(1.0, max(0.0, progress / self.warmup - 1.0)) if self.warmup else 1.0
        return {term.name: term.weight * risen for term in self.terms}

    def _further(self, batch: Trajectory, generator: Generator) -> dict[str, PerWindow]:
        """Return each further term, so that its mean over all windows is that over those on which it is measured."""
        if not self.terms:
            return {}
        stepper, num_context = self.stepper, self.stepper.num_context
        rows = batch.select(slice(math.ceil(self.share * len(batch))))
        context, truth = rows.values[:, :num_context], rows.values[:, num_context]
        state = stepper.advance(stepper.encode(context, rows.params), generator)
        step = Step(context[:, -1], state, stepper.decode(state), truth, rows.params)
        found = {}
        for term in self.terms:
            values = term.measure(step)
            others = values.new_zeros(len(batch) - len(rows))
            found[term.name] = torch.cat([values * (len(batch) / len(rows)), others])
        return found


def disturb(
    context: Float[Tensor, "batch time field *space"], largest: float, generator: Generator
) -> Float[Tensor, "batch time field *space"]:
    """Add white noise; its deviation, in parts of each field's, is uniform in [0, largest] over the batch."""
    part = largest * torch.rand(len(context), generator=generator, device=context.device)
    deviation = context.std([0, 1, *range(3, context.ndim)], keepdim=True)
    normal = torch.randn(context.shape, generator=generator, device=context.device)
    return context + part.reshape(-1, *[1] * (context.ndim - 1)) * deviation * normal


@dataclass(frozen=True)
class Autoencode:
    """Train a codec to reconstruct single frames; the codec works in the units of the normalizer.

    The trivial predictor is the frame's spatial mean.
    """

    name: str
    codec: Any
    normalizer: Any

    @property
    def model(self) -> nn.Module:
        """The codec; the normalizer is fixed."""
        return self.codec

    def window(self, progress: float) -> int:
        """Return 1: frames are reconstructed one by one."""
        return 1

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the relative error of the reconstruction in physical units; see `relative_error`."""
        truth = batch.values
        frames = self.normalizer.normalize(rearrange(truth, "batch time ... -> (batch time) ..."))
        frames = self.normalizer.denormalize(self.codec.decode(self.codec.encode(frames)))
        mean = truth.flatten(3).mean(-1)[(..., *[None] * (truth.ndim - 3))].expand_as(truth)
        return relative_error(frames.reshape(truth.shape), truth), {"trivial": relative_error(mean, truth)}


def fraction_left(stage: Stage, batches: Iterable[tuple[Trajectory, Generator]]) -> float:
    """Return the loss over the trivial predictor's loss, each the mean over the batches, without gradient."""
    loss = trivial = 0.0
    with torch.no_grad():
        for batch, generator in batches:
            losses, parts = stage.loss(batch, generator)
            loss, trivial = loss + losses.mean().item(), trivial + parts["trivial"].mean().item()
    return loss / trivial


def gradient_reach(stage: Stage, batch: Trajectory, generator: Generator) -> None:
    """Prove that the loss reaches every parameter that it is meant to train.

    The proof runs on a copy whose parameters, silent buffers and equation parameters are moved a little, so that a
    head initialized at zero, or data in which the viscosity never changes, accuses nobody.

    Raises:
        ValueError: a parameter gets no gradient or exactly zero, or a term of the loss has no gradient.
    """
    stage = copy.deepcopy(stage)
    parameters = trainable(stage.model)
    silent = [b for b in stage.model.buffers() if b.is_floating_point() and not b.any()]
    with torch.no_grad():
        for tensor in (*parameters.values(), *silent):
            scale = 0.05 * tensor.square().mean().sqrt() + 0.01
            tensor += scale * torch.randn(tensor.shape, generator=generator, device=tensor.device)
        moved = torch.rand(batch.params.shape, generator=generator, device=batch.params.device)
    batch = replace(batch, params=batch.params * (1 + 0.1 * moved) + 1e-3 * moved)
    loss, parts = stage.loss(batch, generator)
    for name, part in parts.items():
        if name != "trivial" and not part.requires_grad:
            raise ValueError(f"stage '{stage.name}': the term '{name}' of the loss has no gradient")
    gradients = torch.autograd.grad(loss.mean(), list(parameters.values()), allow_unused=True)
    lost = [name for name, g in zip(parameters, gradients, strict=True) if g is None or not g.any()]
    if lost:
        raise ValueError(f"stage '{stage.name}': the loss does not reach the parameters {', '.join(lost)}")
