"""Noise grids for sequences: which frame is how noisy at each step of sampling.

Each grid has a row for a step and a column for a frame, in [0, 1], falling from 1 (noise) to 0 (data); `sample`
takes it as it is. Frames whose level does not change in a step stay untouched. Training needs one level a frame:
draw times of shape (batch, time).
Source: Diffusion Forcing, Chen et al., arXiv:2407.01392.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def full(num_frames: int, num_steps: int) -> Float[Tensor, "step frame"]:
    """All frames together, from noise to data in `num_steps` steps."""
    return pyramid(num_frames, num_steps, uncertainty=0.0)


def autoregressive(num_frames: int, num_steps: int) -> Float[Tensor, "step frame"]:
    """One frame after the other: a frame starts when the one before it is clean."""
    return pyramid(num_frames, num_steps, uncertainty=float(num_steps))


def pyramid(num_frames: int, num_steps: int, uncertainty: float) -> Float[Tensor, "step frame"]:
    """Each frame starts `uncertainty` steps after the one before it, and takes `num_steps` steps.

    Level of frame f in row m: clip(num_steps + floor(f uncertainty) - m, 0, num_steps) / num_steps.
    """
    delay = (torch.arange(num_frames) * uncertainty).floor().long()
    row = torch.arange(num_steps + int(delay[-1]) + 1)
    steps_left = (num_steps + delay - row[:, None]).clamp(0, num_steps)
    return steps_left.double() / num_steps
