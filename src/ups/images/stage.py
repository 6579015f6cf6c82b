"""Denoise: train a denoiser of images by the weighted squared error, with a loss for each noise level."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.data.windows import draw_windows
from ups.diffusion.denoiser import Denoiser, Posterior
from ups.diffusion.losses import denoising
from ups.diffusion.times import stratified
from ups.diffusion.weighting import Weighting, snr
from ups.training.stages import Loss
from ups.types import OPEN, Axis, Field, Fields, Grid, Trajectory

LEVELS = (-9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0)
"""Edges in logSNR between which the loss is told apart; the same for all processes."""


@dataclass(frozen=True)
class Denoise:
    """Train a denoiser on images, given as trajectories of one frame.

    The loss is the mean of w(logSNR) (x0_hat - x0)^2 with a noise and a time for each image. The trivial predictor
    is `trivial`, for instance the best denoiser that knows the pixels' mean and standard deviation only.
    """

    name: str
    denoiser: Denoiser
    weighting: Weighting
    trivial: Posterior

    @property
    def model(self) -> nn.Module:
        """The denoiser."""
        return self.denoiser

    def window(self, progress: float) -> int:
        """Return 1: an image is a frame."""
        return 1

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the weighted loss of each image, and the trivial predictor's under the same noise."""
        x0 = batch.values[:, 0]
        t = stratified()((len(x0),), generator)
        noise = _normal(x0, generator)
        loss = denoising(self.denoiser, x0, noise, t, self.weighting)
        with torch.no_grad():
            trivial = denoising(self.trivial, x0, noise, t, self.weighting)
        return loss, {"trivial": trivial}

    def diagnose(self, batch: Trajectory, generator: Generator) -> dict[str, float]:
        """Return the squared error of the noise between any two neighboring `LEVELS`, unweighted and weighted.

        The images get stratified levels inside each of them; a process that does not reach a level is asked at
        the nearest that it has.
        """
        return level_losses(self.denoiser, batch.values[:, 0], self.weighting, generator)


def level_losses(
    denoiser: Posterior,
    x0: Float[Tensor, "image channel height width"],
    weighting: Weighting,
    generator: Generator,
) -> dict[str, float]:
    """Return the mean loss of the images between neighboring `LEVELS` of logSNR, unweighted and weighted."""
    found = {}
    process = denoiser.process
    for low, high in pairwise(LEVELS):
        t = process.time(stratified(low, high)((len(x0),), generator))
        noise = _normal(x0, generator)
        with torch.no_grad():
            estimate = denoiser(process.corrupt(x0, noise, t), t)
        error = (estimate - x0).square().flatten(1).mean(1)
        for name, weight in (("unweighted", snr()), ("weighted", weighting)):
            found[f"{name}, logSNR {low:g} to {high:g}"] = (weight(process.logsnr(t)) * error).mean().item()
    return found


def as_frames(images: Float[Tensor, "image channel height width"]) -> Trajectory:
    """Return images as trajectories of one frame, without a copy."""
    _, channels, height, width = images.shape
    each = tuple(Field(f"channel {index}") for index in range(channels))
    axes = (
        Axis("y", height, float(height), low=OPEN, high=OPEN),
        Axis("x", width, float(width), low=OPEN, high=OPEN),
    )
    fields = Fields(each, Grid(axes), 1.0)
    return Trajectory(images[:, None], torch.zeros(len(images), 0), fields)


def draw_mirrored(images: Trajectory, batch_size: int, length: int, generator: Generator) -> Trajectory:
    """Draw images as `draw_windows` does, each mirrored left to right half of the time."""
    batch = draw_windows(images, batch_size, length, generator)
    mirrored = torch.rand(batch_size, generator=generator) < 0.5
    batch.values[mirrored] = batch.values[mirrored].flip(-1)
    return batch


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
