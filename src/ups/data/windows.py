"""Training windows: short pieces of trajectories, every one equally likely."""

from __future__ import annotations

import torch
from torch import Generator

from ups.types import Trajectory, UserError


def draw_windows(trajectory: Trajectory, batch_size: int, length: int, generator: Generator) -> Trajectory:
    """Return `batch_size` windows of `length` frames, uniform over trajectories and over start frames.

    Drawn with replacement; only the frames that are returned are read, so values may be a memory map.

    Raises:
        UserError: the trajectories are shorter than the window.
    """
    num_frames = trajectory.values.shape[1]
    if num_frames < length:
        raise UserError(f"trajectories have {num_frames} frames but a window needs {length}")
    which = torch.randint(len(trajectory), (batch_size,), generator=generator)
    start = torch.randint(num_frames - length + 1, (batch_size,), generator=generator)
    which, start = which.to(trajectory.values.device), start.to(trajectory.values.device)
    frames = start[:, None] + torch.arange(length, device=start.device)
    return Trajectory(
        trajectory.values[which[:, None], frames],
        trajectory.params[which],
        trajectory.fields,
        None if trajectory.constants is None else trajectory.constants[which],
        None if trajectory.actions is None else trajectory.actions[which[:, None], frames],
    )
