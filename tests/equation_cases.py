"""Frames, grids and equations that the tests of several equations share."""

import torch

from ups.solvers.initial import clean
from ups.streams import stream
from ups.types import WALL, Axis, Grid

N, EXTENT = 64, 3.0
PLANES = [
    Grid((Axis("x", 24, 3.0), Axis("y", 20, 2.0))),
    Grid((Axis("x", 24, 3.0, low=WALL, high=WALL), Axis("y", 20, 2.0))),
    Grid((Axis("x", 24, 3.0), Axis("y", 20, 2.0, low=WALL, high=WALL))),
    Grid((Axis("x", 24, 3.0, low=WALL, high=WALL), Axis("y", 20, 2.0, low=WALL, high=WALL))),
]


def centers(num_cells=N, extent=EXTENT):
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * extent / num_cells


def frames(num=3):
    return clean(num, N, EXTENT, stream(0, "equations"))[:, 0]
