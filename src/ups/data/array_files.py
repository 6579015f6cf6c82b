"""Files of named arrays: HDF5, MATLAB, NumPy, and through xarray NetCDF and Zarr; read when asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ups.config import shown
from ups.data.hdf5 import (
    numbers,
    opened,
    readable,
    require_inside,
    require_numbers,
    require_size,
    scalar,
    walk,
)
from ups.types import UserError

Get = Callable[[slice | None, int], np.ndarray]
"""Return an array, or a slice of it along one of its axes."""


@dataclass(frozen=True)
class Array:
    """One array of a file. `dims` are the names of its axes where the file has them."""

    name: str
    shape: tuple[int, ...]
    num_bytes: int
    """Of one number."""
    check: Callable[[], object]
    """Raises a `UserError` if these are not real numbers that the file can hold."""
    get: Get
    dims: tuple[str, ...] = ()
    unit: str = "1"


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of a file, and the numbers that stand beside them."""

    path: Path
    format: str
    arrays: dict[str, Array]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    record: str | None = None
    """What our own files say of themselves."""

    def array(self, name: str) -> Array:
        """Return an array that can be read.

        Raises:
            UserError: there is none of that name, or it is not of real numbers.
        """
        if name not in self.arrays:
            listed = "; ".join(f"{shown(one.name, 30)} {one.shape}" for one in list(self.arrays.values())[:6])
            raise UserError(f"{self.path}: no array {shown(name, 40)}; the file has {listed or 'none'}")
        self.arrays[name].check()
        return self.arrays[name]

    def scalar(self, name: str) -> float | None:
        """Return a number from an attribute of the file, None if there is none of that name."""
        return (
            scalar(self.path, f"attribute {name}", self.attributes[name]) if name in self.attributes else None
        )


@contextmanager
def array_file(path: Path) -> Generator[ArrayFile]:
    """Open a file by what it is, not by what it is called.

    Raises:
        UserError: it is none of these formats, damaged, or needs a package that is not installed.
    """
    with readable(path, "arrays"):
        if path.is_dir():
            opener = _zarr
        elif h5py.is_hdf5(path):
            opener = _netcdf4 if path.suffix.lower() in (".nc", ".nc4", ".cdf") else _hdf5
        else:
            with path.open("rb") as file:
                start = file.read(16)
            opener = next((found for sign, found in SIGNS.items() if start.startswith(sign)), None)
    if opener is None:
        raise UserError(f"{path}: not HDF5, NumPy, MATLAB, NetCDF or Zarr")
    with opener(path) as found:
        yield found


@contextmanager
def _hdf5(path: Path) -> Generator[ArrayFile]:
    with opened(path) as file:
        with path.open("rb") as raw:
            matlab = raw.read(10) == b"MATLAB 7.3"
        arrays = {}
        for name, stored in walk(file):
            with suppress(TypeError):  # of a type that NumPy does not have
                arrays[name] = _dataset(path, name, stored, matlab)
        yield ArrayFile(path, "MATLAB 7.3" if matlab else "HDF5", arrays, dict(_attributes(file)))


def _attributes(file: h5py.File) -> Generator[tuple[str, Any]]:
    for name in file.attrs:
        try:
            yield name, file.attrs[name]
        except (OSError, TypeError, ValueError):  # one that cannot be read is not there
            continue


def _dataset(path: Path, name: str, stored: h5py.Dataset, matlab: bool) -> Array:
    """Describe a dataset; MATLAB counts axes the other way round, so its arrays are turned back."""
    shape = tuple(stored.shape or ())

    def get(part: slice | None, axis: int) -> np.ndarray:
        place = len(shape) - 1 - axis if matlab else axis
        found = stored[(slice(None),) * place + (part,)] if part is not None else stored[()]
        return np.asarray(found).T if matlab else np.asarray(found)

    dims = tuple(dim.label for dim in stored.dims) if shape and not matlab else ()
    return Array(
        name,
        shape[::-1] if matlab else shape,
        stored.dtype.itemsize,
        lambda: numbers(path, stored, name),
        get,
        dims if all(dims) else (),
    )


@contextmanager
def _npz(path: Path) -> Generator[ArrayFile]:
    with readable(path, "NumPy"), zipfile.ZipFile(path) as archive, np.load(path) as loaded:
        arrays, kept = {}, {}

        def whole(name: str) -> np.ndarray:
            if name not in kept:  # a member is unpacked whole, and once
                kept[name] = loaded[name]
            return kept[name]

        record = None
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with archive.open(member) as raw:
                shape, dtype = _header(raw)
            if dtype.kind == "U" and shape == () and dtype.itemsize < 1e6:
                record = str(whole(name)) if name == "fields" else record
            else:
                arrays[name] = _array(path, name, shape, dtype, lambda name=name: whole(name))
        yield ArrayFile(path, "NumPy", arrays, record=record)


def _header(raw: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(raw)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(raw)
    return shape, dtype


@contextmanager
def _npy(path: Path) -> Generator[ArrayFile]:
    with readable(path, "NumPy"):
        with path.open("rb") as raw:
            shape, dtype = _header(raw)
        require_numbers(path, path.stem, dtype)
        whole = np.load(path, mmap_mode="r")
        arrays = {path.stem: _array(path, path.stem, shape, dtype, lambda: whole)}
        yield ArrayFile(path, "NumPy", arrays)


@contextmanager
def _matlab5(path: Path) -> Generator[ArrayFile]:
    scipy = _package(path, "scipy.io", "an older MATLAB file (or save it with -v7.3)")
    with readable(path, "MATLAB"):
        types = {"single": np.float32, "logical": np.bool_} | {
            f"{s}int{n}": f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32)
        }
        arrays = {}
        for name, shape, kind in scipy.whosmat(path):
            dtype = np.dtype(types.get(kind, np.float64 if kind in ("double", "int64", "uint64") else object))
            get = lambda name=name: scipy.loadmat(path, variable_names=[name])[name]  # noqa: E731
            arrays[name] = _array(path, name, tuple(shape), dtype, get)
        yield ArrayFile(path, "MATLAB 5", arrays)


@contextmanager
def _netcdf4(path: Path) -> Generator[ArrayFile]:
    with opened(path) as file:
        for _, stored in walk(file):
            require_inside(path, stored)
    with _xarray(path, "h5netcdf", "NetCDF") as found:
        yield found


@contextmanager
def _netcdf3(path: Path) -> Generator[ArrayFile]:
    with _xarray(path, "scipy", "NetCDF 3") as found:
        yield found


@contextmanager
def _zarr(path: Path) -> Generator[ArrayFile]:
    if not any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata", ".zarray")):
        raise UserError(f"{path}: is a folder, not a file or a Zarr store")
    with _xarray(path, "zarr", "Zarr", consolidated=False) as found:
        yield found


@contextmanager
def _xarray(path: Path, engine: str, format: str, **options: Any) -> Generator[ArrayFile]:
    xarray = _package(path, "xarray", format)
    _package(path, engine, format)
    stored_bytes = sum(part.stat().st_size for part in (path, *path.rglob("*")) if part.is_file())
    # times become dates, and dates seconds; packed values are unpacked and fill values become NaN
    with (
        readable(path, format),
        xarray.open_dataset(path, engine=engine, decode_timedelta=False, cache=False, **options) as data,
    ):
        arrays = {}
        for name, variable in data.variables.items():

            def get(part: slice | None, axis: int, variable: Any = variable) -> np.ndarray:
                found = variable if part is None else variable[(slice(None),) * axis + (part,)]
                return _seconds(np.asarray(found.values))

            def check(name: str = str(name), variable: Any = variable) -> None:
                if variable.dtype.kind not in "mM":
                    require_numbers(path, name, variable.dtype)
                require_size(path, name, int(variable.nbytes), stored_bytes)

            unit = "s" if variable.dtype.kind in "mM" else str(variable.attrs.get("units", "1"))
            arrays[str(name)] = Array(
                str(name),
                tuple(variable.shape),
                variable.dtype.itemsize,
                check,
                get,
                tuple(map(str, variable.dims)),
                unit,
            )
        yield ArrayFile(path, format, arrays, dict(data.attrs))


def _seconds(values: np.ndarray) -> np.ndarray:
    """Return dates as seconds since the first one; all else as it is."""
    if values.dtype.kind == "M":
        values = values - values.ravel()[:1].reshape((1,) * values.ndim)
    return values / np.timedelta64(1, "s") if values.dtype.kind == "m" else values


def _array(
    path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype, whole: Callable[[], np.ndarray]
) -> Array:
    """Describe an array that is read whole."""
    num_bytes = dtype.itemsize * int(np.prod(shape, dtype=object))

    def check() -> None:
        require_numbers(path, shown(name, 40), dtype)
        require_size(path, shown(name, 40), num_bytes)

    def get(part: slice | None, axis: int) -> np.ndarray:
        found = whole()
        require_numbers(path, shown(name, 40), found.dtype)
        return found if part is None else found[(slice(None),) * axis + (part,)]

    return Array(name, tuple(shape), dtype.itemsize, check, get)


def _package(path: Path, name: str, format: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UserError(
            f"{path}: reading {format} needs {name.split('.')[0]}: pip install 'universal-physics-stack[arrays]'"
        ) from None


SIGNS = {
    b"PK\x03\x04": _npz,
    b"\x93NUMPY": _npy,
    b"MATLAB 5.0": _matlab5,
    b"CDF\x01": _netcdf3,
    b"CDF\x02": _netcdf3,
}
