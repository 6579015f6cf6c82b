"""The one way to continue a field beyond the ends of its grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def extend(
    x: Float[Tensor, "batch channel *grid"], width: int, walls: Sequence[bool]
) -> Float[Tensor, "batch channel *wider"]:
    """Return a field with `width` more cells at every end of every axis.

    A periodic axis repeats. At a wall the field is reflected about the face of the last cell, evenly: a scalar whose
    normal derivative vanishes there. `walls` says of each axis whether it lies between two walls.

    Raises:
        ValueError: an axis has fewer cells than `width`.
    """
    if min(x.shape[2:]) < width:
        raise ValueError(f"{width} cells more at each end need axes as long, not {tuple(x.shape[2:])}")
    for place, is_walled in zip(range(-len(walls), 0), walls, strict=True):
        cells = x.shape[place]
        first, last = x.narrow(place, 0, width), x.narrow(place, cells - width, width)
        ends = (first.flip(place), last.flip(place)) if is_walled else (last, first)
        x = torch.cat([ends[0], x, ends[1]], place)
    return x


class Extend(nn.Module):
    """`extend` as a layer, to stand before a convolution without padding."""

    def __init__(self, width: int, walls: Sequence[bool]) -> None:
        super().__init__()
        self.width, self.walls = width, tuple(walls)

    def forward(self, x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch channel *wider"]:
        """Return the field with more cells at its ends, its channels next to each other: convolutions like it so."""
        if x.ndim in LAYOUTS:
            x = x.contiguous(memory_format=LAYOUTS[x.ndim])
        return extend(x, self.width, self.walls)
