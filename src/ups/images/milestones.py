"""What an image run looks at while it trains: curvature, gradients and samples, at the milestones."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, PositiveInt, field_validator

from ups import checkpoint
from ups.config import Settings
from ups.evaluation.denoiser_probes import glance
from ups.evaluation.examples import save_arrays
from ups.images.denoiser import ImageDenoiser
from ups.images.sampling import Road, Sampler, as_bytes, draw
from ups.images.sweep import Judge
from ups.probes.frozen import ProbeSet
from ups.training.state import State


class MilestoneSettings(Settings):
    """What is looked at during training, and how often; nothing of it moves the training by a bit."""

    every: PositiveInt = 500
    """Updates between milestones; the last update is one too."""
    num_vectors: NonNegativeInt = 2
    """Probe vectors of the trace under each objective; 0 probes nothing."""
    num_samples: NonNegativeInt = 16
    """Images drawn with the averaged weights, whose kernel distance is logged; 0 draws none."""
    sampler: Sampler = "ddim"
    """The flow map that draws them."""
    steps: PositiveInt = 20
    """Its number of steps."""

    @field_validator("num_samples")
    @classmethod
    def _none_or_enough(cls, num_samples: int) -> int:
        if 0 < num_samples < 3:
            raise ValueError("a kernel distance needs at least 3 images; 0 draws none")
        return num_samples


@dataclass(frozen=True)
class Milestones:
    """The `milestone` of a fit: works on copies and draws from its own streams.

    Probes see the weights as they are trained, samples the averaged ones. At the last update the trained weights are
    saved to `<folder>/raw`; the fit itself keeps the average.
    """

    settings: MilestoneSettings
    folder: Path
    shape: tuple[int, ...]
    judged_by: Judge
    probe: ProbeSet
    objectives: Iterable[Any]
    seed: int

    def __call__(self, state: State, last: bool) -> dict[str, float]:
        """Return the numbers of a milestone, or none between two of them."""
        model = state.model
        if last and isinstance(model, ImageDenoiser):
            checkpoint.save(model, self.folder / "raw")
        if state.update % self.settings.every and not last:
            return {}
        numbers = {}
        if self.settings.num_vectors:
            few = ProbeSet(self.probe.tensors, self.probe.seed, self.settings.num_vectors)
            numbers = glance(model, few, self.objectives)  # ty: ignore[invalid-argument-type]
        if self.settings.num_samples:
            with state.ema.swapped_in():
                averaged = copy.deepcopy(model).eval()
            numbers |= self._draw(averaged, state.update)
        return numbers

    def _draw(self, averaged: Any, update: int) -> dict[str, float]:
        device = next(averaged.parameters()).device
        road = Road(averaged, self.settings.sampler, self.settings.steps, self.shape, self.seed, device)
        images = draw(road, self.settings.num_samples).images
        path = self.folder / "milestones" / f"{update:07d}.npz"
        save_arrays(path, {"images": as_bytes(images).numpy()})
        return self.judged_by.glance(images)
