"""What precedes the training of an operator: it looks at the data, if it can."""

from __future__ import annotations

import time

import torch

from ups.models.emulator import Emulator
from ups.models.operator import Informed
from ups.progress import Progress
from ups.types import Trajectory

NUM_TRAJECTORIES = 1024
"""Trajectories to look at, at most: so many show a law and a spectrum, and more would only take memory."""


def look_at(emulator: Emulator, train: Trajectory, progress: Progress | None = None) -> float:
    """Let the operator start from normalized trajectories, spread over the training split; return the seconds."""
    begun = time.monotonic()
    if isinstance(emulator.operator, Informed):
        places = torch.linspace(0, len(train) - 1, min(NUM_TRAJECTORIES, len(train))).round().long()
        seen = train.select(places).to(emulator.normalizer.mean.device)
        # one frame is like another to the normalizer
        normalizer = emulator.normalizer
        frames = normalizer.normalize(seen.values.flatten(0, 1)).unflatten(0, seen.values.shape[:2])
        params = normalizer.normalize_params(seen.params)
        emulator.operator.start_from(
            emulator.codec, Trajectory(frames, params, train.fields), normalizer, progress
        )
    return time.monotonic() - begun
