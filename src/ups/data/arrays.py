"""Arrays of one's own: HDF5, MATLAB, NumPy, NetCDF or Zarr files whose axes and fields the settings name."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ups.config import shown
from ups.data.array_files import Array, ArrayFile, array_file
from ups.data.array_settings import ALL, ArrayField, Described, Dims
from ups.data.boundaries import bounded
from ups.data.hdf5 import finite
from ups.data.layout import Cut, Layout, Read, even_axis, even_times
from ups.data.recorded import Recorded, recorded
from ups.data.well_layout import components
from ups.types import OPEN, Axis, Field, Fields, Grid, UserError


class Arrays(Described):
    """Trajectories in arrays of any name and order: HDF5, MATLAB, `.npz`, `.npy`, NetCDF, Zarr.

    `data.dims="sample time x y"` names the axes in their order (of a MATLAB file as MATLAB shows them);
    `data.dims={sample: member, time: t, space: [x, y]}` says what the names of a NetCDF or Zarr file mean.
    Boundaries, and the step in time and the extent where no coordinates are in the file, are asked for.
    """

    kind: Literal["arrays"] = "arrays"

    def layout(self, path: Path) -> Layout:
        """Return what one file holds, without reading its values."""
        path = Path(path)
        with array_file(path) as file:
            said = recorded(path, file.record) if file.record is not None and not self.dims.space else None
            settings: Described = self if said is None else _own(self, said)
            return _layout(file, settings, said)


@dataclass(frozen=True)
class _Part:
    """An array of one or more fields, with the names of its axes in its order."""

    array: Array
    axes: tuple[str, ...]

    def block(self, dims: Dims, start: int, stop: int) -> np.ndarray:
        """Return samples `start` to `stop` [batch time field *grid]; an axis that is not there has length 1."""
        place = self.axes.index(dims.sample) if dims.sample in self.axes else None
        found = self.array.get(slice(start, stop) if place is not None else None, place or 0)
        wanted = (dims.sample, dims.time, dims.field, *dims.space)
        found = found.transpose([self.axes.index(name) for name in wanted if name in self.axes])
        return found[tuple(slice(None) if name in self.axes else None for name in wanted)]


def _layout(file: ArrayFile, settings: Described, said: Recorded | None) -> Layout:
    path, dims = file.path, settings.dims
    if not dims.space:
        raise UserError(
            f"{path}: which axis is what? give dims='sample time x y' in their order; {_listed(file)}"
        )
    if not dims.time:
        raise UserError(f"{path}: dims names no time axis; trajectories are needed")
    parts, each = _parts(file, settings.fields or _only(file, dims), dims)
    fixed, constants = _parts(file, settings.constants, dims, constant=True)
    sizes = _sizes(file, [*parts, *fixed], dims)
    num = sizes.get(dims.sample, 1)
    missing: list[str] = []
    times, dt, time_unit = _times(file, settings, sizes[dims.time], missing)
    unknown: list[str] = []
    axes = [_axis(file, settings, name, sizes[name], unknown) for name in dims.space]
    if unknown:
        missing.append(
            f"the length of {', '.join(unknown)} is not recorded; give extent=1.0 or {{x: [from, to]}}"
        )
    axes, unbounded = bounded(path, axes, settings.boundary, set())
    missing += [unbounded.removeprefix(f"{path}: ")] if unbounded else []
    if said is not None:
        axes = tuple(
            Axis(a.name, a.cells, a.extent, a.origin, a.low, a.high, said.axes[a.name][2]) for a in axes
        )
    for field in (*each, *constants):
        if field.axis not in {name for rank in range(3) for name in components(dims.space, rank)}:
            raise UserError(
                f"{path}: field {field.name} lies along {field.axis}; the axes are {', '.join(dims.space)}"
            )
    params = [_param(file, name, value, num) for name, value in settings.params.items()]
    still = [_still(part, dims, num) for part in fixed]
    done = _actions(file, settings.actions, num, sizes[dims.time]) if settings.actions else None
    acts = () if done is None else tuple(f"action_{place}" for place in range(done.shape[2]))

    @contextmanager
    def read() -> Generator[Read]:
        with array_file(path) as opened_again:
            again = [_Part(opened_again.array(part.array.name), part.axes) for part in parts]

            def block(start: int, stop: int, cut: Cut) -> np.ndarray:
                found = [part.block(dims, start, stop) for part in again]
                return np.concatenate([part[:, cut[0], :, *cut[1:]] for part in found], axis=2)

            yield block

    return Layout(
        path=path,
        format=file.format,
        equation=settings.equation,
        fields=Fields(
            each,
            Grid(axes),
            dt,
            tuple(settings.params),
            constants,
            acts,
            said.time_unit if said else time_unit,
        ),
        num_trajectories=num,
        num_frames=sizes[dims.time],
        params=np.stack(params, 1).astype(np.float32) if params else np.zeros((num, 0), np.float32),
        times=times,
        read=read,
        constants=np.concatenate(still, 1).astype(np.float32) if still else None,
        actions=done,
        missing=f"{path}: {'; '.join(missing)}" if missing else "",
        num_bytes=max(8, *(part.array.num_bytes for part in parts)),
    )


def _own(settings: Described, said: Recorded) -> Described:
    """Return the settings of a file that `ups` wrote and that says them itself."""

    def told(fields: Iterable[Field]) -> dict[str, ArrayField]:
        return {
            f.name: ArrayField(
                unit=f.unit, conserved=f.conserved, positive=f.positive, vector=f.vector, axis=f.axis
            )
            for f in fields
        }

    axes = tuple(said.axes)
    return settings.model_copy(
        update={
            "dims": Dims(sample="sample", time="time", space=axes, order=("sample", "time", *axes)),
            "fields": told(said.each),
            "constants": told(said.constants),
            "params": {ours: theirs for theirs, ours in said.params.items()},
            "coordinates": {name: f"{name}-coordinate" for name in axes} | {"time": "t-coordinate"},
            "boundary": {name: said.axes[name][:2] for name in axes} | settings.boundary,
            "equation": settings.equation or said.equation,
        }
    )


def _listed(file: ArrayFile) -> str:
    """Return the largest arrays of a file, for a message."""
    largest = sorted(file.arrays.values(), key=lambda array: -len(array.shape))[:5]
    return "the file has " + (
        ", ".join(f"{shown(array.name, 30)} {array.shape}" for array in largest) or "nothing"
    )


def _only(file: ArrayFile, dims: Dims) -> dict[str, ArrayField]:
    """Return the one array that can be a field, if there is one and no axis of fields."""
    num_axes = 1 + len(dims.space) + bool(dims.sample)
    fitting = [array.name for array in file.arrays.values() if len(array.shape) == num_axes]
    if not dims.field and not fitting:
        said = " ".join(dims.order or (dims.sample, dims.time, *dims.space)).strip()
        raise UserError(f"{file.path}: no array has the axes {said} that dims names; {_listed(file)}")
    if dims.field or len(fitting) != 1:
        raise UserError(f"{file.path}: which fields? give fields=[...] by name; {_listed(file)}")
    return {fitting[0]: ArrayField()}


def _parts(
    file: ArrayFile, wanted: dict[str, ArrayField], dims: Dims, *, constant: bool = False
) -> tuple[list[_Part], tuple[Field, ...]]:
    """Return the arrays of the fields, and the fields in the order in which they stand in these arrays."""
    by_array: dict[str, list[Field]] = {}
    for name, one in wanted.items():
        alone = name not in file.arrays and len(file.arrays) == 1
        array = file.array(one.array or (next(iter(file.arrays)) if alone else name))
        unit = array.unit if one.unit is None else one.unit
        field = Field(name, unit, one.conserved, one.positive, one.vector, one.axis)
        by_array.setdefault(array.name, []).append(field)
    parts = []
    for name, fields in by_array.items():
        array = file.array(name)
        axes = _axes(file, array, dims, constant=constant)
        count = array.shape[axes.index(dims.field)] if dims.field in axes else 1
        if count != len(fields):
            raise UserError(
                f"{file.path}: {shown(name, 40)} holds {count} fields, {len(fields)} are named; "
                "give fields=[...] in their order"
            )
        parts.append(_Part(array, axes))
    return parts, tuple(field for fields in by_array.values() for field in fields)


def _axes(file: ArrayFile, array: Array, dims: Dims, *, constant: bool) -> tuple[str, ...]:
    """Return the names of the axes of an array, in its order."""
    where, order = f"{file.path}: {shown(array.name, 40)}", dims.order
    if not order and not array.dims:
        raise UserError(f"{where}: its axes have no names; give dims='sample time x y' in their order")
    whole = tuple(name for name in order if not (constant and name == dims.time))
    plain = tuple(name for name in whole if name != dims.field)
    lesser = tuple(name for name in plain if name != dims.sample)
    if array.dims and (not order or set(array.dims) <= set(order)):
        found = array.dims
    else:
        candidates = (whole, plain, lesser) if constant else (whole, plain)
        found = next((names for names in candidates if len(names) == len(array.shape)), ())
    known = {dims.sample, dims.field, *dims.space} | (set() if constant else {dims.time})
    if not found or not set(found) <= known:
        has = f"axes {' '.join(map(shown, array.dims))}" if array.dims else f"shape {array.shape}"
        said = " ".join(name for name in (order or (dims.sample, dims.time, *dims.space, dims.field)) if name)
        raise UserError(f"{where} has {has}, but dims names {said}")
    if absent := {*dims.space, *(() if constant else (dims.time,))} - set(found):
        raise UserError(f"{where} has no axis {', '.join(sorted(absent))}")
    return found


def _sizes(file: ArrayFile, parts: list[_Part], dims: Dims) -> dict[str, int]:
    """Return the length of each axis, on which all arrays must agree."""
    sizes: dict[str, tuple[int, str]] = {}
    for part in parts:
        for name, size in zip(part.axes, part.array.shape, strict=True):
            known, where = sizes.setdefault(name, (size, part.array.name))
            if name != dims.field and known != size:
                raise UserError(
                    f"{file.path}: axis {name} has length {known} in {shown(where, 40)}, "
                    f"{size} in {shown(part.array.name, 40)}"
                )
            if size == 0:
                raise UserError(
                    f"{file.path}: {shown(part.array.name, 40)} is empty, shape {part.array.shape}"
                )
    return {name: size for name, (size, _) in sizes.items()}


def _times(
    file: ArrayFile, settings: Described, num_frames: int, missing: list[str]
) -> tuple[np.ndarray, float, str]:
    """Return times, their difference and their unit."""
    if settings.dt is not None:
        return settings.dt * np.arange(num_frames), settings.dt, "1"
    found = _coordinate(file, settings, (settings.dims.time, "time", "t"))
    if found is None:
        missing.append("the step in time is not recorded; give dt=")
        return np.arange(float(num_frames)), 1.0, "1"
    return *even_times(file.path, found.name, _line(found), num_frames), found.unit


def _axis(file: ArrayFile, settings: Described, name: str, num_cells: int, unknown: list[str]) -> Axis:
    """Return an axis, open for want of better knowledge."""
    given = settings.extent.get(name, settings.extent.get(ALL))
    if given is not None:
        return Axis(name, num_cells, given[1] - given[0], given[0], OPEN, OPEN)
    found = _coordinate(file, settings, (name,))
    if found is None:
        unknown.append(name)
        return Axis(name, num_cells, float(num_cells), 0.0, OPEN, OPEN)
    extent, origin = even_axis(file.path, found.name, _line(found), num_cells)
    return Axis(name, num_cells, extent, origin, OPEN, OPEN, found.unit)


def _coordinate(file: ArrayFile, settings: Described, names: tuple[str, ...]) -> Array | None:
    """Return the array of coordinates that is named, or that has the name of the axis."""
    chosen = next((settings.coordinates[name] for name in names if name in settings.coordinates), None)
    if chosen is not None:
        return file.array(chosen)
    return next((file.array(name) for name in names if name in file.arrays), None)


def _line(array: Array) -> np.ndarray:
    """Return coordinates as a line; MATLAB has columns."""
    values = array.get(None, 0)
    return values.reshape(-1) if values.size == max(values.shape, default=0) else values


def _still(part: _Part, dims: Dims, num: int) -> np.ndarray:
    """Return constant fields [batch constant *grid]."""
    found = part.block(dims, 0, num)[:, 0]
    return np.broadcast_to(found, (num, *found.shape[1:]))


def _actions(file: ArrayFile, name: str, num: int, frames: int) -> np.ndarray:
    """Return the actions of each trajectory [batch time action]; that after the last frame is zero if missing."""
    array = file.array(name)
    found = finite(file.path, name, array.get(None, 0)).astype(np.float32)
    if found.ndim == 2 and num == 1:
        found = found[None]
    if found.ndim != 3 or found.shape[0] != num or found.shape[1] not in (frames, frames - 1):
        raise UserError(
            f"{file.path}: {shown(name, 40)} has shape {found.shape}; actions are [sample time action], here "
            f"[{num}, {frames} or {frames - 1}, any]"
        )
    if found.shape[1] < frames:
        found = np.concatenate([found, np.zeros_like(found[:, :1])], 1)
    return found


def _param(file: ArrayFile, name: str, value: str | float, num: int) -> np.ndarray:
    """Return a parameter of each trajectory, from a number, an array or an attribute."""
    if isinstance(value, str):
        if value not in file.arrays and (found := file.scalar(value)) is not None:
            value = found
        else:
            array = file.array(value)
            if array.shape not in ((), (1,), (num,), (1, num), (num, 1), (1, 1)):
                raise UserError(
                    f"{file.path}: {shown(value, 40)} has shape {array.shape} for {num} trajectories"
                )
            return np.broadcast_to(finite(file.path, value, array.get(None, 0)).reshape(-1), (num,))
    return finite(file.path, name, np.full(num, value))
