"""Cell averages and point values on other grids, through the antiderivative of the averages, axis by axis.

A line is periodic; an axis between walls is read as half of the line that it makes with its mirror image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ups.types import Grid

# Lagrange's cubic through the values at -1, 0, 1, 2; row p holds the coefficients of position^p.
_CUBIC = (
    (0.0, 1.0, 0.0, 0.0),
    (-1 / 3, -1 / 2, 1.0, -1 / 6),
    (1 / 2, -1.0, 1 / 2, 0.0),
    (-1 / 6, 1 / 2, -1 / 2, 1 / 6),
)


def along_axes(
    change: Callable[[Float[Tensor, "row cell"], int], Float[Tensor, "row new_cell"]],
    frame: Float[Tensor, "*batch_and_grid"],
    old: Grid,
    new: Grid,
) -> Float[Tensor, "*batch_and_new_grid"]:
    """Return what `change(lines, num_cells)` makes of the lines along each axis of the last dimensions, one by one."""
    for place, before, after in zip(range(-len(old), 0), old.axes, new.axes, strict=True):
        moved = frame.movedim(place, -1)
        lines = moved.reshape(-1, before.cells)
        if before.is_periodic:
            lines = change(lines, after.cells)
        else:
            lines = change(torch.cat([lines, lines.flip(1)], 1), 2 * after.cells)[:, : after.cells]
        frame = lines.reshape(*moved.shape[:-1], after.cells).movedim(-1, place)
    return frame


def on_grid(
    averages: Float[Tensor, "*batch_and_grid"], old: Grid, new: Grid
) -> Float[Tensor, "*batch_and_new_grid"]:
    """Return the averages over the cells of another grid of the same domain; see `resample`."""
    return along_axes(resample, averages, old, new)


def resample(averages: Float[Tensor, "batch cell"], num_cells: int) -> Float[Tensor, "batch new_cell"]:
    """Return the averages over `num_cells` equal cells of the same periodic domain.

    The antiderivative at the new edges is differenced, so the mean is kept to round-off whatever the two
    numbers of cells; coarsening by an integer factor is the block mean, refining is third-order accurate.
    """
    old = averages.shape[1]
    if num_cells == old:
        return averages
    mean = averages.mean(1, keepdim=True)
    edges = torch.arange(num_cells, dtype=averages.dtype, device=averages.device) * (old / num_cells)
    integral = antiderivative(averages - mean, edges)
    return mean + torch.diff(integral, append=integral[:, :1]) * (num_cells / old)


def averages_of(points: Float[Tensor, "batch cell"]) -> Float[Tensor, "batch cell"]:
    """Return the cell averages of samples at the cell centers, u + dx^2 u'' / 24: fourth order, same mean."""
    return points + (points.roll(1, 1) - 2 * points + points.roll(-1, 1)) / 24


def points_of(averages: Float[Tensor, "batch cell"], num_cells: int) -> Float[Tensor, "batch new_cell"]:
    """Return the values at the centers of `num_cells` equal cells, fourth order; the mean is not kept exactly."""
    centers = torch.arange(num_cells, dtype=averages.dtype, device=averages.device) + 0.5
    return values_at(averages, centers * (averages.shape[1] / num_cells))


def values_at(
    averages: Float[Tensor, "batch cell"], positions: Float[Tensor, "*batch node"]
) -> Float[Tensor, "batch node"]:
    """Return the values at positions, in cells of width 1, one list for all rows or one a row; fourth order.

    The antiderivative's central differences over one and two cells; at an edge (-1, 7, 7, -1) / 12.
    """
    mean = averages.mean(1, keepdim=True)

    def difference(half_width: int) -> Tensor:
        right, left = (
            antiderivative(averages - mean, (positions + shift) % averages.shape[1])
            for shift in (half_width, -half_width)
        )
        return right - left

    return mean + (8 * difference(1) - difference(2)) / 12


def points_between(points: Float[Tensor, "batch cell"], num_cells: int) -> Float[Tensor, "batch new_cell"]:
    """Return the wave through samples at the cell centers, at the centers of more cells of the same domain.

    Exact for waves that the samples resolve: the spectrum, padded by zeros and moved by the distance of the centers.
    """
    old = points.shape[1]
    spectrum = torch.fft.rfft(points)[:, : (old + 1) // 2]  # without Nyquist's, whose phase no sample tells
    mode = torch.arange(spectrum.shape[1], dtype=points.dtype, device=points.device)
    moved = torch.exp(1j * math.pi * mode * (1 / num_cells - 1 / old))
    return torch.fft.irfft(spectrum * moved, n=num_cells) * (num_cells / old)


def antiderivative(
    averages: Float[Tensor, "batch cell"], positions: Float[Tensor, "*batch node"]
) -> Float[Tensor, "batch node"]:
    """Return the integral of zero-mean averages from the left end to `positions`, all in cells of width 1.

    Exact at the cell edges and cubic between them. Positions lie in [0, num_cells), one list for all rows or one a
    row.
    """
    at_edges = F.pad(averages.cumsum(1)[:, :-1], (1, 0))
    cell = positions.floor()
    powers = (positions - cell)[..., None] ** torch.arange(4, device=positions.device)
    weights = powers @ positions.new_tensor(_CUBIC)
    neighbors = (cell.long()[..., None] + torch.arange(-1, 3, device=positions.device)) % averages.shape[1]
    if positions.ndim == 1:
        return (at_edges[:, neighbors] * weights).sum(-1)
    found = at_edges.gather(1, neighbors.flatten(1)).unflatten(1, neighbors.shape[1:])
    return (found * weights).sum(-1)
