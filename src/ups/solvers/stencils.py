"""Differences between neighbouring cells."""

from __future__ import annotations

import torch

from ups.solvers.modes import Frame
from ups.types import Grid


def laplacian(frame: Frame, grid: Grid) -> Frame:
    """Return the Laplacian by second differences; nothing flows through a wall. Second order in the spacing."""
    total = torch.zeros_like(frame)
    for place, axis in zip(range(-len(grid), 0), grid.axes, strict=True):
        # the flow through the upper face of each cell; a wall's is zero
        flow = frame.roll(-1, place) - frame
        if not axis.is_periodic:
            flow.select(place, -1).zero_()
        total += (flow - flow.roll(1, place)) / axis.spacing**2
    return total
