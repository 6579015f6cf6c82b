"""Are these data what a model was trained for?"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from ups.models.normalizer import Normalizer
from ups.types import Fields, Trajectory


@runtime_checkable
class Trained(Protocol):
    """A model that knows the data it was trained on."""

    fields: Fields
    num_cells: int

    @property
    def normalizer(self) -> Normalizer:
        """The normalizer of the training split."""
        ...


def misfits(model: Trained, given: Trajectory) -> list[str]:
    """Return in which ways data differ from those that a model was trained on; nothing if they do not.

    Compared are fields, grid, length of the domain, time step, and the range of each parameter.
    """
    trained, fields = model.fields, given.fields
    num_cells = given.values.shape[-1]
    reasons = []
    if fields.names != trained.names:
        reasons.append(f"the fields are {', '.join(fields.names)}, trained on {', '.join(trained.names)}")
    if num_cells != model.num_cells:
        hint = _hint("stride_space", num_cells / model.num_cells)
        reasons.append(f"the grid has {num_cells} cells, trained on {model.num_cells}{hint}")
    if not math.isclose(fields.grid.extent[0], trained.grid.extent[0], rel_tol=1e-3):
        reasons.append(f"the domain is {fields.grid.extent[0]:g} long, trained on {trained.grid.extent[0]:g}")
    if not math.isclose(fields.dt, trained.dt, rel_tol=1e-3):
        hint = _hint("stride_time", trained.dt / fields.dt)
        reasons.append(f"dt is {fields.dt:g}, trained on {trained.dt:g}{hint}")
    if fields.params != trained.params:
        reasons.append(f"the parameters are {fields.params}, trained on {trained.params}")
        return reasons
    ranges = model.normalizer.param_ranges()
    for name, values, (low, high) in zip(trained.params, given.params.unbind(1), ranges, strict=True):
        least, most = values.min().item(), values.max().item()
        if least < low - 1e-4 * abs(low) or most > high + 1e-4 * abs(high):
            reasons.append(f"{name} is {_span(least, most)}, trained on {_span(low, high)}")
    return reasons


def _hint(setting: str, ratio: float) -> str:
    return f" ({setting}={round(ratio)} fits)" if ratio > 1 and abs(ratio - round(ratio)) < 1e-3 else ""


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
