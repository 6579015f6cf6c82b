"""The same named arrays in every format, for tests; what needs a package that is not there skips."""

import h5py
import numpy as np
import pytest


def matlab(path, **arrays):
    """Write a MATLAB v7.3 file: HDF5 after a text of 512 bytes, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in arrays.items():
            file[name] = np.asarray(value).T
        file["#refs#/a"] = np.zeros(3)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
    return path


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def npy(path, **arrays):
    np.save(path, *arrays.values())
    return path


def netcdf(path, engine="h5netcdf", **arrays):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip(engine)
    xarray.Dataset({
        name: (("s", "t", "x")[: np.ndim(value)], value) for name, value in arrays.items()
    }).to_netcdf(path, engine=engine)
    return path


def zarr(path, **arrays):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    xarray.Dataset({
        name: (("s", "t", "x")[: np.ndim(value)], value) for name, value in arrays.items()
    }).to_zarr(path, consolidated=False)
    return path


def matlab5(path, **arrays):
    pytest.importorskip("scipy.io").savemat(path, arrays)
    return path
