"""PDEBench's layouts in one to three dimensions: what equation a file is of, its grid, its parameters."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from ups.config import shown
from ups.data.boundaries import bounded
from ups.data.hdf5 import find, finite, numbers, opened, scalar
from ups.data.layout import Cut, Layout, Read, even_axis, even_times
from ups.data.recorded import NAME, recorded
from ups.types import OPEN, PERIODIC, WALL, Axis, Boundary, Field, Fields, Grid, UserError

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Family:
    """What the files of one equation have in common.

    `params` maps the file's attribute to our name; `boundary` holds on every side, None where files differ.
    """

    equation: str
    each: tuple[Field, ...] = (Field("u"),)
    params: dict[str, str] = field(default_factory=dict)
    boundary: Boundary | None = PERIODIC


UNKNOWN = Family("", boundary=None)
FISHER_KPP = Family("fisher_kpp", params={"Nu": "nu", "rho": "rho"})
BURGERS = Family("burgers", (Field("u", conserved=True),), {"Nu": "nu"})
ADVECTION = Family("advection", (Field("u", conserved=True),), {"beta": "speed"})
DIFF_SORP = Family("diff_sorp", boundary=WALL)
DIFF_REACT = Family("diff_react", (Field("u"), Field("v")), boundary=WALL)
DAM_BREAK = Family("shallow_water", (Field("h", positive=True),), boundary=OPEN)

WORDS = {"diff-sorp": (1, DIFF_SORP), "diff-react": (2, DIFF_REACT), "rdb": (2, DAM_BREAK)}
"""What the names of files of groups say, and in how many dimensions."""

NOT_NEGATIVE = ("nu", "eta", "zeta")


@dataclass(frozen=True)
class Stored:
    """Where the values are: datasets (trajectory, frame, *grid) of one field each, or a group for each trajectory."""

    datasets: tuple[str, ...]
    groups: tuple[str, ...]
    shape: tuple[int, ...]
    """Trajectories, frames, cells along each axis."""
    num_bytes: int

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of space."""
        return AXES[: len(self.shape) - 2]

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The names of the datasets of time and of the axes of space."""
        names = ("t", *self.axes)
        return tuple(f"{self.groups[0]}/grid/{n}" if self.groups else f"{n}-coordinate" for n in names)


def read_pdebench(path: Path, stated: dict[str, tuple[str, str]] | None = None) -> Layout:
    """Return what a file holds, without reading its values.

    The equation and its parameters come from the attributes or, where these are absent, from the name of the
    file; `stated` are the boundaries that the user gives. A periodic grid of N centres dx apart is N dx long and
    begins dx/2 before the first centre.

    Raises:
        UserError: the file is missing, damaged, or not one of PDEBench's layouts.
    """
    path = Path(path)
    with opened(path) as file:
        stored = _stored(path, file)
        num, frames, *cells = stored.shape
        family, sides, constants, time_unit, units = _meaning(path, file, stored)
        time, *space = (numbers(path, find(file, name), name) for name in stored.coordinates)
        edges = [even_axis(path, x.name, np.asarray(x[()]), n) for x, n in zip(space, cells, strict=True)]
        axes = tuple(
            Axis(name, n, extent, origin, low, high, unit)
            for name, n, (extent, origin), (low, high), unit in zip(
                stored.axes, cells, edges, sides, units, strict=True
            )
        )
        known = None if family.boundary is not None else set()
        axes, missing = bounded(path, axes, stated or {}, known)
        times, dt = even_times(path, time.name, np.asarray(time[()]), frames)
        params = [_param(path, file, name, num) for name in family.params]
        fields = Fields(family.each, Grid(axes), dt, tuple(family.params.values()), constants, (), time_unit)
        fixed = _constants(path, file, fields, num)

    @contextmanager
    def read() -> Generator[Read]:
        with opened(path) as file:
            yield lambda start, stop, cut: _values(path, file, stored, start, stop, cut)

    return Layout(
        path=path,
        format="PDEBench, "
        + (f"{len(stored.groups)} groups" if stored.groups else ", ".join(stored.datasets)),
        equation=family.equation,
        fields=fields,
        num_trajectories=num,
        num_frames=frames,
        params=(np.stack(params, 1) if params else np.zeros((num, 0))).astype(np.float32),
        times=times,
        read=read,
        constants=fixed,
        missing=missing,
        num_bytes=max(8, stored.num_bytes),
    )


def _stored(path: Path, file: h5py.File) -> Stored:
    """Find the values and see that their shapes agree."""
    names = sorted(file)
    there = ", ".join(shown(name, 20) for name in names[:8]) or "nothing"
    groups = tuple(name for name in names if isinstance(find(file, f"{name}/data"), h5py.Dataset))
    if groups:
        first = numbers(path, find(file, f"{groups[0]}/data"), groups[0])
        shapes = [numbers(path, find(file, f"{name}/data"), name).shape for name in groups]
        for name, shape in zip(groups, shapes, strict=True):
            if shape != shapes[0] or len(shape) not in (3, 4, 5) or 0 in shape:
                raise UserError(
                    f"{path}: {shown(name)}/data has shape {shape}, expected one shape (frame, cells ..., field)"
                )
        stored = Stored((), groups, (len(groups), *shapes[0][:-1]), first.dtype.itemsize)
    else:
        if NAME in file.attrs:
            each = recorded(path, file.attrs[NAME]).each
            datasets = ("tensor",) if len(each) == 1 else tuple(field.name for field in each)
        elif find(file, "density") is not None:
            datasets = ("density", "pressure", *(v for v in ("Vx", "Vy", "Vz") if find(file, v) is not None))
        else:
            datasets = ("tensor",)
        if missing := [shown(name) for name in datasets if not isinstance(find(file, name), h5py.Dataset)]:
            raise UserError(
                f"{path}: no dataset {', '.join(missing)}; the file has {there} (kind=arrays reads any names)"
            )
        first = numbers(path, find(file, datasets[0]), datasets[0])
        for name in datasets:
            shape = numbers(path, find(file, name), name).shape
            if len(shape) not in (3, 4, 5) or shape != first.shape:
                raise UserError(
                    f"{path}: {name} has shape {shape}, expected one shape (trajectory, frame, cells ...)"
                )
        if 0 in first.shape:
            raise UserError(f"{path}: {datasets[0]} is empty, shape {first.shape}")
        stored = Stored(datasets, (), first.shape, first.dtype.itemsize)
    if missing := [name for name in stored.coordinates if not isinstance(find(file, name), h5py.Dataset)]:
        if stored.shape[1] == 1 and missing == ["t-coordinate"]:
            raise UserError(
                f"{path}: single frames without a time, as of Darcy's steady flow; trajectories are needed"
            )
        raise UserError(f"{path}: no dataset {', '.join(map(shown, missing))}; the file has {there}")
    return stored


def _meaning(path: Path, file: h5py.File, stored: Stored) -> tuple:
    """Return the family, the sides of each axis, the constant fields, the unit of time and those of the axes."""
    num_fields = (
        numbers(path, find(file, f"{stored.groups[0]}/data")).shape[-1]
        if stored.groups
        else len(stored.datasets)
    )
    if NAME in file.attrs:
        said = recorded(path, file.attrs[NAME], stored.axes)
        family = Family(said.equation, said.each, said.params)
        sides = [said.sides(axis) for axis in stored.axes]
        more = (said.constants, said.time_unit, [said.axes[axis][2] for axis in stored.axes])
    else:
        family = _family(path, file, stored)
        if family is UNKNOWN and num_fields > 1:
            family = replace(family, each=tuple(Field(f"u{index}") for index in range(num_fields)))
        side = family.boundary or OPEN  # a placeholder: the layout says that the boundary is missing
        sides = [(side, side)] * len(stored.axes)
        more = ((), "1", ["1"] * len(stored.axes))
    if num_fields != len(family.each):
        raise UserError(
            f"{path}: {num_fields} fields where {family.equation or 'its record'} has {len(family.each)}"
        )
    return family, sides, *more


def _family(path: Path, file: h5py.File, stored: Stored) -> Family:
    name, attributes = path.name.lower(), {name.lower() for name in file.attrs}
    if stored.groups:
        for word, (num_axes, family) in WORDS.items():
            if word in name and len(stored.axes) == num_axes:
                return family
        return UNKNOWN
    if len(stored.datasets) > 1:
        boundary = OPEN if "trans" in name else PERIODIC if "periodic" in name else None
        velocities = tuple(Field(v, vector="velocity", axis=v[-1]) for v in stored.datasets[2:])
        if len(velocities) != len(stored.axes):
            raise UserError(f"{path}: {len(velocities)} velocities in {len(stored.axes)} dimensions")
        density = Field("density", conserved=boundary == PERIODIC, positive=True)
        each = (density, Field("pressure", positive=True), *velocities)
        return Family("cfd", each, {"eta": "eta", "zeta": "zeta"}, boundary)
    if len(stored.axes) > 1:
        return UNKNOWN
    for family, attribute, word in ((FISHER_KPP, "rho", "reacdiff"), (ADVECTION, "beta", "advection")):
        if attribute in attributes or word in name:
            return family
    return BURGERS if "nu" in attributes or "burgers" in name else UNKNOWN


def _param(path: Path, file: h5py.File, name: str, num_trajectories: int) -> np.ndarray:
    """Return one parameter of each trajectory, from a dataset, an attribute, or the name of the file."""
    for key in file:
        stored = find(file, key) if key.lower() == name.lower() else None
        if isinstance(stored, h5py.Dataset) and stored.shape == (num_trajectories,):
            return _sound(path, name, finite(path, key, numbers(path, stored)[:]))
    for key in file.attrs:
        if key.lower() == name.lower():
            return _sound(
                path, name, np.full(num_trajectories, scalar(path, f"attribute {key}", file.attrs[key]))
            )
    found = re.search(rf"{re.escape(name)}_?(\d+(?:\.\d*)?(?:e-?\d+)?)", path.stem, re.IGNORECASE)
    if found is None:
        raise UserError(
            f"{path}: no parameter {shown(name)}, neither as an attribute nor in the name of the file"
        )
    return np.full(num_trajectories, float(found[1]))


def _sound(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    if name.lower() in NOT_NEGATIVE and (values < 0).any():
        raise UserError(f"{path}: {name} is negative, {values.min():g}")
    return values


def _constants(path: Path, file: h5py.File, fields: Fields, num: int) -> np.ndarray | None:
    """Return the constant fields, which only our own files name."""
    if not fields.constants:
        return None
    parts = [numbers(path, find(file, field.name), field.name) for field in fields.constants]
    for part in parts:
        if part.shape != (num, *fields.grid.shape):
            raise UserError(
                f"{path}: {shown(part.name)} has shape {part.shape}, expected {(num, *fields.grid.shape)}"
            )
    return np.stack([part[:] for part in parts], 1).astype(np.float32)


def _values(path: Path, file: h5py.File, stored: Stored, start: int, stop: int, cut: Cut) -> np.ndarray:
    if stored.groups:
        parts = [numbers(path, find(file, f"{name}/data"))[:][cut] for name in stored.groups[start:stop]]
        return np.moveaxis(np.stack(parts), -1, 2)
    return np.stack(
        [numbers(path, find(file, name))[start:stop][:, *cut] for name in stored.datasets], axis=2
    )
