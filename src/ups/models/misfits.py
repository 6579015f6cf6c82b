"""Are these data what a model was trained for?"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from ups.models.normalizer import Normalizer
from ups.types import Fields, Grid, Trajectory, describe_boundaries


@runtime_checkable
class Trained(Protocol):
    """A model that knows the data it was trained on."""

    fields: Fields

    @property
    def normalizer(self) -> Normalizer:
        """The normalizer of the training split."""
        ...


def misfits(model: Trained, given: Trajectory) -> list[str]:
    """Return in which ways data differ from those that a model was trained on; nothing if they do not.

    Compared are fields, grid, length of the domain, time step, and the range of each parameter.
    """
    trained, fields = model.fields, given.fields
    reasons = []
    if fields.names != trained.names:
        reasons.append(f"the fields are {', '.join(fields.names)}, trained on {', '.join(trained.names)}")
    if len(fields.grid) != len(trained.grid):
        return [*reasons, f"the grid has {len(fields.grid)} axes, trained on {len(trained.grid)}"]
    reasons += _misfits_of_grids(fields.grid, trained.grid)
    if not math.isclose(fields.dt, trained.dt, rel_tol=1e-3):
        hint = _hint("stride_time", trained.dt / fields.dt)
        reasons.append(f"dt is {fields.dt:g}, trained on {trained.dt:g}{hint}")
    if len(fields.actions) != len(trained.actions):
        count = len(fields.actions)
        reasons.append(f"the data have {count} actions, trained on {len(trained.actions)}")
    if fields.params != trained.params:
        reasons.append(f"the parameters are {fields.params}, trained on {trained.params}")
        return reasons
    ranges = model.normalizer.param_ranges()
    for name, values, (low, high) in zip(trained.params, given.params.unbind(1), ranges, strict=True):
        least, most = values.min().item(), values.max().item()
        if least < low - 1e-4 * abs(low) or most > high + 1e-4 * abs(high):
            reasons.append(f"{name} is {_span(least, most)}, trained on {_span(low, high)}")
    return reasons


def _misfits_of_grids(grid: Grid, trained: Grid) -> list[str]:
    reasons = []
    if grid.shape != trained.shape:
        ratios = {new / old for new, old in zip(grid.shape, trained.shape, strict=True)}
        hint = _hint("stride_space", ratios.pop()) if len(ratios) == 1 else ""
        reasons.append(f"the grid has {grid} cells, trained on {trained}{hint}")
    if not all(math.isclose(*pair, rel_tol=1e-3) for pair in zip(grid.extent, trained.extent, strict=True)):
        long = [" x ".join(f"{length:g}" for length in each.extent) for each in (grid, trained)]
        reasons.append(f"the domain is {long[0]} long, trained on {long[1]}")
    if [(axis.low, axis.high) for axis in grid.axes] != [(axis.low, axis.high) for axis in trained.axes]:
        reasons.append(
            f"the boundaries are {describe_boundaries(grid)}, trained on {describe_boundaries(trained)}"
        )
    return reasons


def _hint(setting: str, ratio: float) -> str:
    return f" ({setting}={round(ratio)} fits)" if ratio > 1 and abs(ratio - round(ratio)) < 1e-3 else ""


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
