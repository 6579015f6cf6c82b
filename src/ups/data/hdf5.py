"""HDF5 files of other people: whatever is wrong with one is a line that names it, and nothing outside it is read."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ups.config import shown
from ups.types import UserError

MAX_COMPRESSION = 1100
"""Deflate cannot do better than 1032 to 1: a file that declares more than it stores times this was never written."""

SLACK_BYTES = 2**24


@contextmanager
def readable(path: Path, what: str) -> Generator[None]:
    """Turn whatever reading a file throws into one line that names the file; `what` is its format.

    Raises:
        UserError: the file is missing, forbidden, a folder, of another format, or damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except PermissionError:
        raise UserError(f"{path}: permission denied") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file of {what}") from None
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{path}: reading this needs {error.name or shown(error)}; install it") from None
    except Exception as error:  # h5py, NumPy and xarray have no end of ways to fail on a damaged file
        if "signature" in str(error):
            raise UserError(f"{path}: not an HDF5 file") from None
        raise UserError(f"{path}: damaged file of {what}, fetch it again: {shown(error)}") from None


@contextmanager
def opened(path: Path) -> Generator[h5py.File]:
    """Open an HDF5 file for reading; a failure, now or while reading, is one line that names the file."""
    with readable(path, "HDF5"), h5py.File(path, "r") as file:
        yield file


def find(file: h5py.Group, name: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
    """Return what stands under a name, or None; links are followed inside the file only.

    Raises:
        UserError: the name leads out of the file.
    """
    here: Any = file
    for part in name.strip("/").split("/"):
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise UserError(f"{file.file.filename}: {shown(name)} is a link to another file; copy it in")
        if isinstance(link, h5py.SoftLink):
            if depth > 8:
                raise UserError(f"{file.file.filename}: {shown(name)} is a circle of links")
            here = find(here.file if link.path.startswith("/") else here, link.path, depth + 1)
        else:
            here = here.get(part) if link is not None else None
    return here


def walk(group: h5py.Group, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield every dataset of a file with its name; links out of the file are left out."""
    for part in group:
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.HardLink) and not part.startswith(
            "#"
        ):  # MATLAB keeps its cells under #refs#
            child = group.get(part)
            if isinstance(child, h5py.Dataset):
                yield f"{prefix}{part}", child
            elif isinstance(child, h5py.Group) and depth < 8:
                yield from walk(child, f"{prefix}{part}/", depth + 1)


def numbers(path: Path, stored: Any, name: str = "") -> h5py.Dataset:
    """Return a dataset, after a look at whether its real numbers can be read from this file.

    Raises:
        UserError: it is no dataset of real numbers, it lies outside the file, or the file is too small to hold it.
    """
    if not isinstance(stored, h5py.Dataset):
        raise UserError(f"{path}: {shown(name)} is not a dataset")
    name = shown(stored.name).strip("/")
    require_inside(path, stored)
    require_numbers(path, name, stored.dtype)
    if stored.shape is None:
        raise UserError(f"{path}: {name} is empty")
    require_size(path, name, int(stored.nbytes))
    if stored.size and not stored.id.get_storage_size():
        raise UserError(f"{path}: {name} was declared, {stored.shape}, but never written")
    if stored.chunks:
        parts = math.prod(-(-size // chunk) for size, chunk in zip(stored.shape, stored.chunks, strict=True))
        if (there := stored.id.get_num_chunks()) < parts:
            raise UserError(f"{path}: {name} was not written whole, it has {there} of {parts} chunks")
    return stored


def require_inside(path: Path, stored: h5py.Dataset) -> None:
    """See that a dataset keeps its values in its own file.

    Raises:
        UserError: it does not.
    """
    if stored.external or stored.is_virtual:
        raise UserError(f"{path}: {shown(stored.name)} keeps its values in another file; copy them in")


def require_numbers(path: Path, name: str, dtype: np.dtype) -> None:
    """See that a type is one of real numbers.

    Raises:
        UserError: it is complex, text, a structure or an object.
    """
    if dtype.kind == "c" or set(dtype.names or ()) in ({"r", "i"}, {"real", "imag"}):
        raise UserError(f"{path}: {name} is complex; store its real and imaginary parts as two fields")
    if dtype.kind not in "biuf":
        raise UserError(f"{path}: {name} holds {shown(dtype, 40)}, not numbers")


def require_size(path: Path, name: str, num_bytes: int, stored_bytes: int | None = None) -> None:
    """See that a file can hold what it declares, before memory is asked for.

    Raises:
        UserError: it declares more than any compression of its bytes would give.
    """
    size = path.stat().st_size if stored_bytes is None else stored_bytes
    if num_bytes > MAX_COMPRESSION * size + SLACK_BYTES:
        raise UserError(
            f"{path}: {name} declares {num_bytes / 1e9:.3g} GB, but the file has {size / 1e9:.3g} GB; "
            "it was not written whole"
        )


def texts(value: Any) -> tuple[str, ...]:
    """Return the words of an attribute, which may be text or bytes, one or a list; an empty list has any type."""
    if isinstance(value, h5py.Empty) or np.size(value) == 0:
        return ()
    flat = [value] if isinstance(value, str | bytes) else list(np.ravel(value))
    if not all(isinstance(word, str | bytes) for word in flat):
        raise TypeError(f"text is expected, not {shown(value, 40)}")
    return tuple(word.decode() if isinstance(word, bytes) else str(word) for word in flat)


def flag(holder: h5py.Dataset | h5py.Group, name: str, default: bool | None = None) -> bool:
    """Return a yes or no of an attribute, which may be a bool, a numpy bool or a number.

    Raises:
        UserError: there is none and no default, or it is something else.
    """
    if name not in holder.attrs and default is not None:
        return default
    value = holder.attrs.get(name)
    flat = np.ravel(value) if value is not None and not isinstance(value, h5py.Empty) else np.empty(0)
    if flat.shape != (1,) or flat.dtype.kind not in "biu":
        where = (
            f"{shown(holder.name)} has no attribute {name}"
            if value is None
            else f"{shown(holder.name)}@{name}"
        )
        raise UserError(f"{holder.file.filename}: {where} of true or false")
    return bool(flat[0])


def scalar(path: Path, name: str, value: Any) -> float:
    """Return the one finite number of an attribute or dataset.

    Raises:
        UserError: it is none, several, complex, or NaN or infinite in float32.
    """
    flat = np.ravel(value) if not isinstance(value, h5py.Empty | h5py.Group) else np.empty(0)
    if flat.shape != (1,) or flat.dtype.kind not in "biuf":
        raise UserError(f"{path}: {shown(name)} is {shown(value, 60)}; one number is expected")
    return float(finite(path, name, flat)[0])


def finite(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return values as they are if they are finite in float32.

    Raises:
        UserError: one is not.
    """
    with np.errstate(over="ignore"):
        good = np.isfinite(np.asarray(values, np.float32))
    if not good.all():
        bad = np.ravel(values)[int(np.ravel(good).argmin())]
        raise UserError(f"{path}: {shown(name)} is {bad}; finite numbers are expected")
    return values
