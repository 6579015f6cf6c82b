"""The reader of a file: by what the file is, and by what the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from ups.config import nearest, override
from ups.data.arrays import Arrays
from ups.data.file_source import FileSource
from ups.data.hdf5 import find, opened, readable
from ups.data.pdebench import PDEBench
from ups.data.well import Well
from ups.data.well_layout import is_well
from ups.types import UserError

KINDS: dict[str, type[FileSource]] = {"arrays": Arrays, "pdebench": PDEBench, "well": Well}


def source_for(path: Path | Sequence[Path], settings: Sequence[str] = ()) -> FileSource:
    """Return the source of a file (or of several alike) with settings `key=value`.

    `kind=` chooses the reader. Else files of The Well and of PDEBench are recognized by what is in them, unless
    `dims=` says that the arrays are one's own; all others are arrays.

    Raises:
        UserError: the file is missing or damaged, or a setting is not one of the reader's.
    """
    files = (path,) if isinstance(path, str | Path) else tuple(path)
    if not files:
        raise UserError("no file is given")
    chosen = [text.partition("=")[2] for text in settings if text.startswith("kind=")]
    kind = chosen[-1] if chosen else _kind(Path(files[0]), settings)
    if kind not in KINDS:
        raise UserError(f"kind={kind}: no such reader of files{nearest(kind, KINDS)}")
    return override(KINDS[kind](file=files), [text for text in settings if not text.startswith("kind=")])


def _kind(path: Path, settings: Sequence[str]) -> str:
    with readable(path, "trajectories"):
        is_hdf5 = path.is_file() and h5py.is_hdf5(path)
    if not is_hdf5:
        if not path.exists():
            raise UserError(f"{path}: no such file")
        return "arrays"
    with opened(path) as file:
        if is_well(file):
            return "well"
        if any(text.startswith(("dims=", "dims.")) for text in settings):
            return "arrays"
        named = any(isinstance(find(file, name), h5py.Dataset) for name in ("tensor", "t-coordinate"))
        return (
            "pdebench" if named or any(find(file, f"{name}/data") is not None for name in file) else "arrays"
        )
