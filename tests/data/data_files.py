"""PDEBench-like files, small and planted with faults, and the real ones where they are at hand."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lines import on_line
from ups.types import Trajectory

REAL = Path(__file__).parents[3] / "shared" / "data" / "pdebench"
FULL = REAL / "full" / "1D_Burgers_Sols_Nu0.001.hdf5"
STRIDED = REAL / "strided" / "1D_Burgers_Sols_Nu0.001.hdf5"
STRIDED_OTHER_NU = REAL / "strided" / "1D_Burgers_Sols_Nu0.01.hdf5"
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


def write(path, tensors, attrs=None, extent=1.0, dt=0.01, extra_time=1, num_frames=None):
    """Write a file as PDEBench's own scripts do: float32 coordinates, the time axis one too long."""
    frames, cells = next(iter(tensors.values())).shape[1:3]
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            file[name] = value
        file["x-coordinate"] = (extent * (np.arange(cells) + 0.5) / cells).astype(np.float32)
        file["t-coordinate"] = (dt * np.arange((num_frames or frames) + extra_time)).astype(np.float32)
        file.attrs.update(attrs or {})
    return path


def burgers(path, nu=0.001, **changes):
    return write(path, {"tensor": values(**changes)[:, :, 0]}, {"Nu": nu})
