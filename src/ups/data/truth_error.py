"""How far the solutions of our own solvers are from the equation's."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ups.solvers.equation import Equation
from ups.solvers.resampling import along_axes, on_grid, points_between, resample
from ups.solvers.solve import solve
from ups.types import Grid


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
