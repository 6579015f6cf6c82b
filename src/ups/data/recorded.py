"""What the formats of others have no place for: our own files say it in one attribute of JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ups.config import Settings, shown
from ups.data.boundaries import boundary, spelled_sides
from ups.types import Boundary, Field, Fields, UserError

NAME = "fields"
"""The attribute (of an npz file: the array) that holds it."""


class Recorded(Settings):
    """Equation, fields, boundaries and units. `params` maps the name in the file to ours."""

    equation: str = ""
    each: tuple[Field, ...]
    axes: dict[str, tuple[str, str, str]]
    """For each axis what holds at its two ends, and its unit."""
    params: dict[str, str] = {}
    constants: tuple[Field, ...] = ()
    time_unit: str = "1"

    def sides(self, axis: str) -> tuple[Boundary, Boundary]:
        """Return the boundaries of an axis."""
        low, high, _ = self.axes[axis]
        return boundary(low), boundary(high)


def record(fields: Fields, equation: str, params: dict[str, str]) -> str:
    """Return what is to be written, as JSON."""
    return Recorded(
        equation=equation,
        each=fields.each,
        axes={axis.name: (f"{axis.low}", f"{axis.high}", axis.unit) for axis in fields.grid.axes},
        params=params,
        constants=fields.constants,
        time_unit=fields.time_unit,
    ).model_dump_json()


def recorded(path: Path, text: object, axes: tuple[str, ...] | None = None) -> Recorded:
    """Return what was written, for a file of these axes.

    Raises:
        UserError: it is not what `record` writes.
    """
    try:
        found = TypeAdapter(Recorded).validate_json(text if isinstance(text, str | bytes) else "")
        for name in found.axes:
            spelled_sides(found.axes[name][:2])
    except (ValidationError, ValueError) as error:
        reason = shown(error.errors()[0]["msg"] if isinstance(error, ValidationError) else error, 80)
        raise UserError(
            f"{path}: its '{NAME}' is not what `ups` writes: {reason}; remove or mend it"
        ) from None
    if axes is not None and tuple(found.axes) != axes:
        theirs = ", ".join(map(shown, found.axes))
        raise UserError(f"{path}: its '{NAME}' is of axes {theirs}, the values of {', '.join(axes)}")
    return found
