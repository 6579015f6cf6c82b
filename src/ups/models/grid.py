"""The points of the data, as positions on a periodic line."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ups.nets.interpolation import interpolate_periodic
from ups.types import Fields


class Grid(nn.Module):
    """The cell centres of a periodic line: origin + (i + 1/2) extent / num_cells."""

    centres: Tensor
    """Phases of the centres: positions in units of the extent."""

    def __init__(self, fields: Fields, num_cells: int) -> None:
        super().__init__()
        self.origin, self.extent, self.num_cells = fields.grid.origin[0], fields.grid.extent[0], num_cells
        self.register_buffer("centres", (torch.arange(num_cells) + 0.5) / num_cells, persistent=False)

    def phase(self, points: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the positions of points in units of the extent."""
        return (points - self.origin) / self.extent

    def interpolate(
        self, frames: Float[Tensor, "batch field cell"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return frames between the centres by the periodic cubic."""
        return interpolate_periodic(frames, self.phase(points) * self.num_cells - 0.5)
