"""How far the solutions of our own solvers are from the equation's."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from ups.solvers.equation import Equation
from ups.solvers.resampling import along_axes, on_grid, points_between, resample
from ups.solvers.solve import solve
from ups.types import Grid

CHECKED, CHECKED_CELLS = 8, 2**10
"""Trajectories that are solved on a finer grid too, and cells beyond which fewer are."""

SHARE = 50
"""On larger grids, one part in so many of the work that the data took may go into it."""


def affordable(num_trajectories: int, num_frames: int, grid: Grid) -> tuple[int, int]:
    """Return how many trajectories, and how many of their first frames, are solved on the finer grid too."""
    checked = max(1, CHECKED * CHECKED_CELLS // max(CHECKED_CELLS, math.prod(grid.shape)))
    if checked == CHECKED:
        return checked, num_frames
    work = checked * 3 ** (1 + len(grid))  # three times the cells an axis, and the steps
    return checked, min(num_frames, 2 + num_trajectories * num_frames // (SHARE * work))


def truth_error(
    equation: Equation,
    first: Float[Tensor, "batch field *grid"],
    times: Float[Tensor, "time"],
    grid: Grid,
    are_averages: bool,
) -> float | None:
    """Return the nRMSE of solutions on a grid off those on three times its cells an axis; None where these fail.

    The mean over all frames but the initial one. The centre of a cell is that of one of the finer cells too.
    """
    fine = grid.resized(*(3 * cells for cells in grid.shape))
    finer_first = along_axes(resample if are_averages else points_between, first, grid, fine)
    try:
        own = solve(equation, first, times, grid)
        finer = solve(equation, finer_first, times, fine)
    except ValueError:
        return None
    centres = (slice(1, None, 3) for _ in fine.shape)
    finer = on_grid(finer, fine, grid) if are_averages else finer[(..., *centres)]
    error, size = ((part[:, 1:]).flatten(2).norm(dim=2) for part in (own - finer, finer))
    return (error / size).mean().item()
