"""The settings that say what somebody's arrays mean: axes, fields, parameters, coordinates."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from ups.config import Settings
from ups.data.file_source import FileSource

ALL = "*"


class Dims(Settings):
    """Which axis is what. `order` names them one after the other, where the file has no names for them."""

    sample: str = ""
    """The axis of trajectories; none: one trajectory in a file."""
    time: str = ""
    space: tuple[str, ...] = ()
    field: str = ""
    """The axis of fields, where several stand in one array."""
    order: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _once(self) -> Dims:
        names = [name for name in (self.sample, self.time, *self.space, self.field) if name]
        if len(set(names)) < len(names) or len(self.space) > 3:
            raise ValueError("each axis is named once, and at most three are of space")
        return self


def _dims(value: Any) -> Any:
    """Read "sample time x y field": the words sample, time and field, and the names of the axes of space."""
    if not isinstance(value, str | list | tuple):
        return value
    order = value.replace(",", " ").split() if isinstance(value, str) else [str(word) for word in value]
    special = {name: name for name in ("sample", "time", "field") if name in order}
    return special | {"space": [name for name in order if name not in special], "order": order}


class ArrayField(Settings):
    """One field. Left at null, the array has the name of the field, and its unit is the file's."""

    array: str | None = None
    unit: str | None = None
    conserved: bool = False
    positive: bool = False
    vector: str = ""
    """The vector that this is a component of, and along which axis."""
    axis: str = ""

    @model_validator(mode="after")
    def _whole(self) -> ArrayField:
        if bool(self.vector) != bool(self.axis):
            raise ValueError("a component of a vector has both vector and axis")
        return self


def _fields(value: Any) -> Any:
    """Read a list of names, or a mapping to the names of arrays."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        value = dict.fromkeys(map(str, value), None)
    if not isinstance(value, dict):
        return value
    return {name: {"array": one} if isinstance(one, str) else one or {} for name, one in value.items()}


def _params(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    return {str(name): str(name) for name in value} if isinstance(value, list | tuple) else value


def _extent(value: Any) -> Any:
    """Read a length for all axes, or for each axis a length or [from, to]."""
    by_axis = value if isinstance(value, dict) else {ALL: value} if value is not None else {}
    found = {}
    for name, one in by_axis.items():
        low, high = (0.0, one) if isinstance(one, int | float | str) else one
        low, high = float(low), float(high)
        if not (abs(low) < 1e30 and 1e-30 < high - low < 1e30):
            raise ValueError(f"the extent of {name} must be a length or [from, to]")
        found[str(name)] = (low, high)
    return found


class Described(FileSource):
    """Trajectories in arrays whose meaning is told."""

    dims: Annotated[Dims, BeforeValidator(_dims)] = Dims()
    """The axes in their order, "sample time x y field", or what the names of the file's axes mean."""
    fields: Annotated[dict[str, ArrayField], BeforeValidator(_fields)] = {}
    """The fields: [u, v]; {u: name of an array}; {u: {array: vel, unit: m/s, conserved: true, vector: v, axis: x}}.
    Where dims has `field`, the fields of one array are named in their order."""
    constants: Annotated[dict[str, ArrayField], BeforeValidator(_fields)] = {}
    """Fields that do not change in time: masks, coefficients, forcing."""
    params: Annotated[dict[str, str | float], BeforeValidator(_params)] = {}
    """Parameters: [nu]; {nu: name of an array or attribute}; {nu: 0.01}."""
    actions: str = ""
    """An array of what was done, [sample time action]: row t acts from frame t to the next; the last may be missing."""
    dt: PositiveFloat | None = Field(None, allow_inf_nan=False)
    """Time between two frames, where the file has no time axis."""
    extent: Annotated[dict[str, tuple[float, float]], BeforeValidator(_extent)] = {}
    """Length of the domain, where the file has no coordinates: 1.0; {x: 1.0, y: [-1, 1]}."""
    coordinates: dict[str, str] = {}
    """Arrays of coordinates, {time: t, x: lon}, where their names are not those of the axes."""
    equation: str = ""
    """The name of the equation, if the solvers here know it (burgers, ...)."""
