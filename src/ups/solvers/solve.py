"""One call for every equation: initial frames and times in, trajectories out."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ups.solvers.equation import Equation
from ups.solvers.resampling import on_grid
from ups.types import Grid, line


def solve(
    equation: Equation,
    initial: Float[Tensor, "batch field *grid"],
    times: Float[Tensor, "time"],
    domain: Grid | float,
    refine: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Float[Tensor, "batch time field *grid"]:
    """Return the solution at `times`, in float64; `times[0]` is the time of `initial`.

    `domain` is the grid of the frames, or the length of the periodic line on which they live. With `refine` > 1 the
    equation is solved on that many times more cells along each axis and averaged: for Burgers, an error four times
    smaller for four times the cost each time it doubles. `progress` is called with the fraction done.

    Raises:
        ValueError: the times do not increase, or the solution is no longer finite.
        UserError: the equation cannot be solved on the grid.
    """
    durations = torch.diff(times.double()).tolist()
    if min(durations, default=1.0) <= 0:
        raise ValueError("solve: the times must increase")
    grid = domain if isinstance(domain, Grid) else line(initial.shape[-1], domain)
    fine = grid.resized(*(cells * refine for cells in grid.shape))
    result = torch.empty(len(initial), len(times), *initial.shape[1:], dtype=torch.float64)
    result[:, 0] = initial
    frame = on_grid(torch.stack(initial.double().unbind(1)), grid, fine)
    prepared = 0.0
    for index, duration in enumerate(durations, start=1):
        if not math.isclose(
            duration, prepared, rel_tol=1e-4
        ):  # float32 times are equally spaced to about 1e-5
            propagate = equation.propagator(duration, fine)
            prepared = duration
        frame = propagate(frame)
        result[:, index] = on_grid(frame, fine, grid).movedim(1, 0)
        if progress is not None:
            progress(index / len(durations))
    if not result[:, -1].isfinite().all():
        raise ValueError("solve: the solution is not finite; check the initial frames and the parameters")
    return result
