"""Any points of a periodic line, from what its cells hold."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ups.nets.interpolation import interpolate_periodic
from ups.types import Grid


class Points(nn.Module):
    """The cell centres of a periodic line, origin + (i + 1/2) extent / num_cells, and the points between them."""

    centres: Tensor
    """Phases of the centres: positions in units of the extent."""

    def __init__(self, line: Grid) -> None:
        super().__init__()
        (axis,) = line.axes
        self.origin, self.extent, self.num_cells = axis.origin, axis.extent, axis.cells
        self.register_buffer("centres", (torch.arange(axis.cells) + 0.5) / axis.cells, persistent=False)

    def phase(self, points: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the positions of points in units of the extent."""
        return (points - self.origin) / self.extent

    def interpolate(
        self, frames: Float[Tensor, "batch field cell"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return frames between the centres by the periodic cubic."""
        return interpolate_periodic(frames, self.phase(points) * self.num_cells - 0.5)
