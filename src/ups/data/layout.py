"""What a PDEBench HDF5 file holds: its equation, grid and parameters; reading it in blocks of trajectories."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ups.types import Axis, Boundary, Field, Fields, Grid, UserError

BLOCK_BYTES = 64e6


@dataclass(frozen=True)
class Family:
    """What the files of one equation have in common. `params` maps the file's attribute to our name."""

    equation: str
    word: str
    """What stands in the name of the file if no attribute tells the equation."""
    params: dict[str, str]
    names: tuple[str, ...] = ("u",)
    units: tuple[str, ...] = ("1",)
    conserved: tuple[str, ...] = ()
    boundary: Literal["periodic", "wall", "open", "dirichlet", "neumann"] = "periodic"


FISHER_KPP = Family("fisher_kpp", "reacdiff", {"Nu": "nu", "rho": "rho"})
BURGERS = Family("burgers", "burgers", {"Nu": "nu"}, conserved=("u",))
ADVECTION = Family("advection", "advection", {"beta": "speed"}, conserved=("u",))
DIFF_SORP = Family("diff_sorp", "diff-sorp", {}, boundary="wall")
CFD = Family(
    "cfd", "cfd", {"eta": "eta", "zeta": "zeta"}, ("density", "pressure", "Vx"), ("1",) * 3, ("density",)
)


@dataclass(frozen=True)
class Layout:
    """The stored grid and parameters of one file, and where its trajectories are.

    `datasets` are the fields' datasets of shape (trajectory, frame, cell); or, with `groups`, each trajectory is
    the dataset `<group>/data` of shape (frame, cell, field).
    """

    path: Path
    equation: str
    fields: Fields
    datasets: tuple[str, ...]
    groups: tuple[str, ...]
    num_trajectories: int
    num_frames: int
    num_cells: int
    params: np.ndarray
    times: np.ndarray

    def blocks(
        self, num: int, stride_time: int = 1, stride_space: int = 1
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first trajectory, float32 values [batch time field space]) of the first `num` trajectories.

        Whole trajectories are read, contiguously, and strided in memory: HDF5's own strided read is slower by
        orders of magnitude. A block takes about 64 MB.

        Raises:
            UserError: the file is damaged.
        """
        frame_bytes = 8 * len(self.fields.names) * self.num_cells
        size = max(1, int(BLOCK_BYTES / (frame_bytes * self.num_frames)))
        with opened(self.path) as file:
            for start in range(0, num, size):
                stop = min(num, start + size)
                if self.groups:
                    stack = np.stack([file[f"{name}/data"][:] for name in self.groups[start:stop]])
                    values = stack[:, ::stride_time, ::stride_space].transpose(0, 1, 3, 2)
                else:
                    parts = [
                        file[name][start:stop][:, ::stride_time, ::stride_space] for name in self.datasets
                    ]
                    values = np.stack(parts, axis=2)
                yield start, np.ascontiguousarray(values, dtype=np.float32)


@contextmanager
def opened(path: Path) -> Generator[h5py.File]:
    """Open an HDF5 file for reading; a failure, now or while reading, is one line that names the file."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except PermissionError:
        raise UserError(f"{path}: permission denied") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not an HDF5 file") from None
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if "signature" in reason:
            raise UserError(f"{path}: not an HDF5 file") from None
        raise UserError(f"{path}: damaged HDF5 file, fetch it again: {reason}") from None


def read_layout(path: Path) -> Layout:
    """Return what a file holds, without reading its values.

    The equation and its parameters come from the attributes or, where these are absent, from the name of the
    file. A periodic grid of N centres dx apart is N dx long and begins dx/2 before the first centre.

    Raises:
        UserError: the file is missing, damaged, or not one of PDEBench's 1D layouts.
    """
    path = Path(path)
    with opened(path) as file:
        family = _family(path, file)
        groups = tuple(sorted(name for name in file if f"{name}/data" in file))
        datasets = ("tensor",) if len(family.names) == 1 else family.names
        where = f"{groups[0]}/grid/" if groups else ""
        x_name, t_name = (f"{where}x", f"{where}t") if groups else ("x-coordinate", "t-coordinate")
        needed = [x_name, t_name, *([f"{groups[0]}/data"] if groups else datasets)]
        if missing := [name for name in needed if not isinstance(file.get(name), h5py.Dataset)]:
            there = ", ".join(sorted(file)[:8]) or "nothing"
            raise UserError(f"{path}: no dataset {', '.join(missing)}; the file has {there}")
        shape = _shape(path, file, groups, datasets, len(family.names))
        extent, origin = _grid(path, file[x_name], shape[2])
        times, dt = _times(path, file[t_name], shape[1])
        params = [_param(path, file, name, shape[0]) for name in family.params]
        fields = Fields(
            each=tuple(
                Field(name, unit, conserved=name in family.conserved)
                for name, unit in zip(family.names, family.units, strict=True)
            ),
            grid=Grid((
                Axis("x", shape[2], extent, origin, Boundary(family.boundary), Boundary(family.boundary)),
            )),
            dt=dt,
            params=tuple(family.params.values()),
        )
    params = np.stack(params, axis=1) if params else np.zeros((shape[0], 0))
    return Layout(path, family.equation, fields, datasets, groups, *shape, params.astype(np.float32), times)


def _family(path: Path, file: h5py.File) -> Family:
    if "family" in file.attrs:  # written by `write_pdebench`
        tree = json.loads(file.attrs["family"])
        return Family(**tree | {name: tuple(tree[name]) for name in ("names", "units", "conserved")})
    name, attributes = path.name.lower(), {name.lower() for name in file.attrs}
    if any(f"{group}/data" in file for group in file):
        return DIFF_SORP
    if "density" in file or {"eta", "zeta"} <= attributes or "cfd" in name:
        is_outgoing = "trans" in name  # the other boundary of PDEBench's CFD files
        return replace(CFD, boundary="open", conserved=()) if is_outgoing else CFD
    for family, attribute in ((FISHER_KPP, "rho"), (ADVECTION, "beta")):
        if attribute in attributes or family.word in name:
            return family
    if "nu" in attributes or BURGERS.word in name:
        return BURGERS
    if "tensor" not in file:
        raise UserError(f"{path}: no dataset tensor; the file has {', '.join(sorted(file)[:8]) or 'nothing'}")
    raise UserError(f"{path}: unknown equation; set attribute Nu (Burgers), beta (advection) or Nu and rho")


def _shape(
    path: Path, file: h5py.File, groups: tuple[str, ...], datasets: tuple[str, ...], num_fields: int
) -> tuple[int, int, int]:
    """Return the numbers of trajectories, frames and cells."""
    if groups:
        shape = file[f"{groups[0]}/data"].shape
        for name in groups:
            if file[f"{name}/data"].shape != shape or len(shape) != 3 or shape[2] != num_fields:
                got = file[f"{name}/data"].shape
                raise UserError(f"{path}: {name}/data has shape {got}, expected (frame, cell, {num_fields})")
        return len(groups), shape[0], shape[1]
    shape = file[datasets[0]].shape
    for name in datasets:
        if len(file[name].shape) != 3 or file[name].shape != shape:
            got = file[name].shape
            raise UserError(f"{path}: {name} has shape {got}, expected one shape (trajectory, frame, cell)")
    if 0 in shape:
        raise UserError(f"{path}: {datasets[0]} is empty, shape {shape}")
    return shape


def _grid(path: Path, stored: h5py.Dataset, num_cells: int) -> tuple[float, float]:
    """Return the length of the domain and its left edge."""
    x = stored[:].astype(np.float64)
    if x.shape != (num_cells,) or num_cells < 2:
        raise UserError(f"{path}: {stored.name} has shape {x.shape} for {num_cells} cells")
    dx = float(x[-1] - x[0]) / (num_cells - 1)
    if not (dx > 0 and np.allclose(np.diff(x), dx, rtol=0.02)):
        raise UserError(f"{path}: {stored.name} is not a uniform increasing grid")
    digits = _digits(stored)
    extent = _round(num_cells * dx, digits)
    return extent, round((float(x[0]) - dx / 2) / extent, digits) * extent + 0.0


def _times(path: Path, stored: h5py.Dataset, num_frames: int) -> tuple[np.ndarray, float]:
    """Return the times and their difference; PDEBench's time axis is one longer than its frames."""
    times = stored[:].astype(np.float64)
    if times.ndim != 1 or len(times) not in (num_frames, num_frames + 1) or len(times) < 2:
        raise UserError(f"{path}: {stored.name} has shape {times.shape} for {num_frames} frames")
    used = times[: max(num_frames, 2)]
    dt = (used[-1] - used[0]) / (len(used) - 1)
    if not dt > 0:
        raise UserError(f"{path}: {stored.name} does not increase")
    return times, _round(dt, _digits(stored))


def _param(path: Path, file: h5py.File, name: str, num_trajectories: int) -> np.ndarray:
    """Return one parameter of each trajectory, from a dataset, an attribute, or the name of the file."""
    for key in file:
        if key.lower() == name.lower() and file[key].shape == (num_trajectories,):
            return file[key][:]
    for key, value in file.attrs.items():
        if key.lower() == name.lower():
            return np.full(num_trajectories, float(np.ravel(value)[0]))
    found = re.search(rf"{name}_?(\d+(?:\.\d*)?(?:e-?\d+)?)", path.stem, re.IGNORECASE)
    if found is None:
        raise UserError(f"{path}: no parameter {name}, neither as an attribute nor in the name of the file")
    return np.full(num_trajectories, float(found[1]))


def _digits(stored: h5py.Dataset) -> int:
    return 6 if stored.dtype == np.float32 else 12


def _round(value: float, digits: int) -> float:
    """Round to the digits that the coordinates carry, so that files that should agree do agree."""
    return float(f"{value:.{digits}g}")
