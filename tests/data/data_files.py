"""PDEBench-like files, small and planted with faults, and the real ones where they are at hand."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lines import on_line
from ups.types import OPEN, PERIODIC, WALL, Axis, Field, Fields, Grid, Trajectory

REAL = Path(__file__).parents[3] / "shared" / "data" / "pdebench"
FULL = REAL / "full" / "1D_Burgers_Sols_Nu0.001.hdf5"
STRIDED = REAL / "strided" / "1D_Burgers_Sols_Nu0.001.hdf5"
STRIDED_OTHER_NU = REAL / "strided" / "1D_Burgers_Sols_Nu0.01.hdf5"
REACTION = REAL / "2d" / "2D_diff-react_NA_NA.h5"
needs_real = pytest.mark.skipif(not FULL.exists(), reason="the PDEBench files are not there")

FIELDS = on_line(("u",), ("1",), 2.0, 0.25, params=("nu",), origin=-1.0, conserved=("u",), cells=16)


def values(num=6, frames=5, fields=1, cells=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num, frames, fields, cells)).astype(np.float32)


def trajectory(num=6, frames=5, cells=16, seed=0, nu=0.01):
    return Trajectory(
        torch.from_numpy(values(num, frames, 1, cells, seed)),
        torch.full((num, 1), nu),
        replace(FIELDS, grid=FIELDS.grid.resized(cells)),
    )


def plane(num=5, frames=5, fields=2, cells=(6, 4), seed=0):
    """Values on a plane whose every axis has another length."""
    return np.random.default_rng(seed).standard_normal((num, frames, fields, *cells)).astype(np.float32)


PLANE = Fields(
    each=(
        Field("density", "kg/m3", conserved=True, positive=True),
        Field("velocity_x", "m/s", vector="velocity", axis="x"),
        Field("velocity_y", "m/s", vector="velocity", axis="y"),
    ),
    grid=Grid((
        Axis("x", 6, 3.0, -1.5, PERIODIC, PERIODIC, "m"),
        Axis("y", 4, 1.0, 0.0, WALL, OPEN, "m"),
    )),
    dt=0.5,
    params=("nu", "kappa"),
    constants=(Field("depth", "m"),),
    time_unit="s",
)


def on_plane(num=5, frames=5, fields=PLANE, seed=0):
    """Return trajectories of a scalar and a vector, with a parameter that varies, one that does not, and a constant."""
    rng = np.random.default_rng(seed + 1)
    params = np.stack([rng.uniform(0.1, 1, num), np.full(num, 0.25)], 1).astype(np.float32)
    constants = rng.standard_normal((num, 1, *fields.grid.shape)).astype(np.float32)
    values = plane(num, frames, len(fields), fields.grid.shape, seed)
    return Trajectory(*map(torch.from_numpy, (values, params)), fields, torch.from_numpy(constants))


def centres(cells, extent=1.0):
    return (extent * (np.arange(cells) + 0.5) / cells).astype(np.float32)


def write(path, tensors, attrs=None, extent=1.0, dt=0.01, extra_time=1, num_frames=None):
    """Write a file as PDEBench's own scripts do: float32 coordinates, the time axis one too long.

    `extent` is a number, and then x is the only axis that is written, or one for each axis.
    """
    frames, *cells = next(iter(tensors.values())).shape[1:]
    extents = extent if isinstance(extent, tuple) else (extent,)
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            file[name] = value
        for name, count, length in zip("xyz", cells, extents, strict=False):
            file[f"{name}-coordinate"] = centres(count, length)
        file["t-coordinate"] = (dt * np.arange((num_frames or frames) + extra_time)).astype(np.float32)
        file.attrs.update(attrs or {})
    return path


def dam_break(path, num=3):
    """Write a file of groups on a plane, as PDEBench's dam break and reaction-diffusion are."""
    data = plane(num, 5, 1)
    with h5py.File(path, "w") as file:
        for index in range(num):
            file[f"{index:04d}/data"] = np.moveaxis(data[index], 1, -1)
            file[f"{index:04d}/grid/x"], file[f"{index:04d}/grid/y"] = centres(6, 2.0), centres(4, 3.0)
            file[f"{index:04d}/grid/t"] = np.linspace(0, 1, 5, dtype=np.float32)
    return path


def burgers(path, nu=0.001, **changes):
    return write(path, {"tensor": values(**changes)[:, :, 0]}, {"Nu": nu})
