"""The Well's HDF5: scalars, vectors and tensors that vary or not along samples, time and each axis of space."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ups.config import shown
from ups.data.boundaries import bounded
from ups.data.hdf5 import find, finite, flag, numbers, opened, require_size, scalar, texts
from ups.data.layout import Cut, Layout, Read, even_axis, even_times
from ups.data.recorded import NAME, Recorded, recorded
from ups.data.well_boundaries import sides
from ups.types import OPEN, Axis, Field, Fields, Grid, UserError

RANKS = ("t0_fields", "t1_fields", "t2_fields")


@dataclass(frozen=True)
class Part:
    """One dataset of fields: its components, and along which axes it is stored."""

    dataset: str
    each: tuple[Field, ...]
    sample_varying: bool
    time_varying: bool
    dim_varying: tuple[bool, ...]

    def values(
        self, path: Path, file: h5py.File, start: int, stop: int, cut: Cut, cells: tuple[int, ...]
    ) -> np.ndarray:
        """Return samples `start` to `stop` [batch time field *grid], tiled along what is not stored.

        Time has length 1 where the field is constant.
        """
        stored = numbers(path, find(file, self.dataset), self.dataset)
        found = np.asarray(stored[start:stop] if self.sample_varying else stored[()])
        kept = iter(found.shape[self.sample_varying + self.time_varying :])
        shape = [next(kept) if varies else 1 for varies in self.dim_varying]
        samples = len(found) if self.sample_varying else 1
        frames = found.shape[self.sample_varying] if self.time_varying else 1
        found = found.reshape(samples, frames, *shape, len(self.each))
        found = np.broadcast_to(found, (stop - start, frames, *cells, len(self.each)))
        return np.moveaxis(found[:, *(cut if self.time_varying else (slice(None), *cut[1:]))], -1, 2)


def is_well(file: h5py.File) -> bool:
    """Return whether a file has The Well's groups."""
    return any(isinstance(find(file, name), h5py.Group) for name in (*RANKS, "dimensions"))


def components(axes: tuple[str, ...], rank: int) -> list[str]:
    """Return the names of the components of a tensor: none of a scalar, x and y, or xx, xy, yx, yy."""
    return ["".join(names) for names in product(axes, repeat=rank)]


def read_well(path: Path, stated: dict[str, tuple[str, str]] | None = None) -> Layout:
    """Return what a file of The Well's format holds, without reading its values.

    Fields that vary in time are the state; those that do not are constants, as conditioning. Scalars that do not
    vary in time, and the parameters of the simulation at the root of the file, are the parameters. A grid of N
    points dx apart is taken for N cells; `stated` are the boundaries that the user gives.

    Raises:
        UserError: the file is missing, damaged, not of this format, or on a grid that is not of equal cells.
    """
    path = Path(path)
    with opened(path) as file:
        num = _count(path, file)
        dims = _group(path, file, "dimensions")
        names = texts(dims.attrs.get("spatial_dims", []))
        if not 1 <= len(names) <= 3 or len(set(names)) < len(names):
            raise UserError(
                f"{path}: dimensions@spatial_dims names {len(set(names))} axes; 1 to 3 are expected"
            )
        if (kind := " ".join(texts(file.attrs.get("grid_type", "cartesian")))) != "cartesian":
            raise UserError(
                f"{path}: a {shown(kind, 40)} grid; only cartesian grids of equal cells can be read"
            )
        times, dt = _times(path, dims, num)
        said = recorded(path, file.attrs[NAME], names) if NAME in file.attrs else None
        edges = [_axis(path, dims, name) for name in names]
        cells = tuple(count for count, _, _ in edges)
        known, notes = sides(path, file, names, cells)
        if said:
            known = {name: said.sides(name) for name in names}
        axes = [
            Axis(
                name,
                count,
                extent,
                origin,
                *known.get(name, (OPEN, OPEN)),
                said.axes[name][2] if said else "1",
            )
            for name, (count, extent, origin) in zip(names, edges, strict=True)
        ]
        axes, missing = bounded(path, axes, stated or {}, set(known))
        parts = _parts(path, file, names, (num, len(times), *cells))
        moving = [part for part in parts if part.time_varying]
        fixed = [part for part in parts if not part.time_varying]
        if not moving:
            raise UserError(f"{path}: no field varies in time; trajectories are needed")
        if num > 1 and not any(part.sample_varying for part in moving):
            raise UserError(f"{path}: n_trajectories is {num}, but no field that moves differs between them")
        every = math.prod((num, *cells)) * 4
        require_size(path, "what is tiled", every * len(times) * sum(len(part.each) for part in moving))
        require_size(path, "what is tiled", every * sum(len(part.each) for part in fixed))
        params, more = _params(path, file, num, said)
        state, order = _ordered(path, moving, said.each if said else None)
        still, still_order = _ordered(path, fixed, said.constants if said else None)
        fields = Fields(state, Grid(axes), dt, tuple(params), still, (), said.time_unit if said else "1")
        whole = (slice(None),) * (1 + len(names))
        constants = [part.values(path, file, 0, num, whole, cells)[:, 0] for part in fixed]
        itemsize = max(numbers(path, find(file, part.dataset)).dtype.itemsize for part in moving)

    @contextmanager
    def read() -> Generator[Read]:
        with opened(path) as file:

            def block(start: int, stop: int, cut: Cut) -> np.ndarray:
                found = [part.values(path, file, start, stop, cut, cells) for part in moving]
                return np.concatenate(found, axis=2)[:, :, order]

            yield block

    return Layout(
        path=path,
        format="The Well",
        equation=said.equation if said else "",
        fields=fields,
        num_trajectories=num,
        num_frames=len(times),
        params=np.stack(list(params.values()), 1).astype(np.float32)
        if params
        else np.zeros((num, 0), np.float32),
        times=times,
        read=read,
        constants=np.concatenate(constants, 1)[:, still_order].astype(np.float32) if constants else None,
        missing=missing,
        notes=(*notes, *more),
        num_bytes=max(8, itemsize),
    )


def _group(path: Path, file: h5py.Group, name: str) -> h5py.Group:
    found = find(file, name)
    if not isinstance(found, h5py.Group):
        raise UserError(f"{path}: no group {shown(name)}, which The Well's files have")
    return found


def _count(path: Path, file: h5py.File) -> int:
    found = scalar(path, "attribute n_trajectories", file.attrs.get("n_trajectories", "missing"))
    if found < 1 or found != int(found):
        raise UserError(f"{path}: n_trajectories is {found:g}")
    return int(found)


def _times(path: Path, dims: h5py.Group, num: int) -> tuple[np.ndarray, float]:
    stored = numbers(path, find(dims, "time"), "dimensions/time")
    found = np.asarray(stored[()])
    if flag(stored, "sample_varying", default=False):
        if found.ndim != 2 or len(found) != num:
            raise UserError(f"{path}: dimensions/time has shape {found.shape} for {num} trajectories")
        steps = [even_times(path, "dimensions/time", row, len(row))[1] for row in found]
        if not np.allclose(steps, steps[0], rtol=0.02, atol=0):
            raise UserError(
                f"{path}: trajectories differ in dt, {min(steps):g} to {max(steps):g}; split the file"
            )
        found = found[0]
    return even_times(path, "dimensions/time", found, found.shape[-1] if found.ndim else 0)


def _axis(path: Path, dims: h5py.Group, name: str) -> tuple[int, float, float]:
    """Return number of cells, length and left edge of an axis."""
    stored = numbers(path, find(dims, name), f"dimensions/{name}")
    if flag(stored, "time_varying", default=False):
        raise UserError(f"{path}: the grid moves in time along {shown(name)}; only fixed grids can be read")
    found = np.asarray(stored[()])
    if flag(stored, "sample_varying", default=False) and found.ndim == 2 and len(found):
        if not np.allclose(found, found[0], rtol=1e-4, atol=1e-6 * float(np.ptp(found[0]) or 1)):
            raise UserError(f"{path}: trajectories differ in their grid along {shown(name)}; split the file")
        found = found[0]
    count = found.shape[-1] if found.ndim else 0
    return (count, *even_axis(path, f"dimensions/{name}", found, count))


def _parts(path: Path, file: h5py.File, axes: tuple[str, ...], shape: tuple[int, ...]) -> list[Part]:
    """Return every dataset of fields, after a look at whether its shape is what its attributes say."""
    parts = []
    for rank, group_name in enumerate(RANKS):
        group = _group(path, file, group_name)
        for name in texts(group.attrs.get("field_names", [])):
            where = f"{group_name}/{name}"
            stored = numbers(path, find(file, where), where)
            varying = [flag(stored, f"{what}_varying") for what in ("sample", "time")]
            dims = np.ravel(stored.attrs.get("dim_varying", []))
            if len(dims) != len(axes) or dims.dtype.kind not in "biu":
                raise UserError(
                    f"{path}: {shown(where)}@dim_varying needs a yes or no for each of {', '.join(axes)}"
                )
            wanted = [n for n, varies in zip(shape, [*varying, *dims.astype(bool)], strict=True) if varies]
            wanted += [len(axes)] * rank
            if stored.shape != tuple(wanted):
                raise UserError(f"{path}: {shown(where)} has shape {stored.shape}, expected {tuple(wanted)}")
            if math.prod(stored.shape) == 0:
                raise UserError(f"{path}: {shown(where)} is empty")
            each = tuple(
                Field(f"{name}_{axis}" if axis else name, vector=name if axis else "", axis=axis)
                for axis in components(axes, rank)
            )
            parts.append(Part(where, each, *varying, tuple(map(bool, dims))))
    return parts


def _ordered(
    path: Path, parts: list[Part], said: tuple[Field, ...] | None
) -> tuple[tuple[Field, ...], list[int]]:
    """Return the fields as they were recorded, if they were, and where each is among the stored ones."""
    stored = [field for part in parts for field in part.each]
    if said is None:
        return tuple(stored), list(range(len(stored)))
    places = {(field.vector or field.name, field.axis): place for place, field in enumerate(stored)}
    found = [places.pop((field.vector, field.axis), None) for field in said]
    for index, field in enumerate(said):  # a scalar, or a part of a vector that is not whole
        found[index] = places.pop((field.name, ""), None) if found[index] is None else found[index]
    order = [place for place in found if place is not None]
    if places or len(order) < len(said):
        raise UserError(f"{path}: its attribute '{NAME}' names other fields than it holds; remove or mend it")
    return said, order


def _params(
    path: Path, file: h5py.File, num: int, said: Recorded | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the parameters of each trajectory by name, and what cannot be one."""
    found: dict[str, np.ndarray] = {}
    notes: list[str] = []
    group = find(file, "scalars")
    group = group if isinstance(group, h5py.Group) else None
    for name in texts(group.attrs.get("field_names", [])) if group else ():
        stored = numbers(path, find(file, f"scalars/{name}"), f"scalars/{name}")
        if flag(stored, "time_varying"):
            notes.append(f"scalar {shown(name, 40)}, which varies in time")
            continue
        shape = (num,) if flag(stored, "sample_varying") else ()
        if stored.shape != shape:
            raise UserError(f"{path}: scalars/{shown(name)} has shape {stored.shape}, expected {shape}")
        found[name] = np.broadcast_to(finite(path, f"scalars/{name}", np.asarray(stored[()])), (num,))
    for name in texts(file.attrs.get("simulation_parameters", [])):
        value: Any = file.attrs.get(name)
        if name not in found and np.asarray(value).dtype.kind in "SUO":
            notes.append(f"parameter {shown(name, 40)}, which is no number")
        elif name not in found:
            found[name] = np.full(num, scalar(path, f"attribute {name}", value))
    if said is not None:
        if missing := set(said.params) - set(found):
            raise UserError(f"{path}: no scalar {', '.join(sorted(map(shown, missing)))}")
        found = {ours: found[theirs] for theirs, ours in said.params.items()}
    return found, notes
