"""Trajectories written in a format of one's choice, or in that of the file that they continue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from ups.data.file_source import FileSource
from ups.data.pdebench import disk, write_pdebench
from ups.data.recorded import NAME, record
from ups.data.well import write_well
from ups.files import require_folder, written_whole
from ups.types import Trajectory, UserError

Write = Callable[[Path, Trajectory, str, Mapping[str, Tensor] | None], None]


def _pdebench(path: Path, trajectory: Trajectory, equation: str, extra: Mapping[str, Tensor] | None) -> None:
    made = trajectory
    write_pdebench(path, made.values, made.fields, made.params, extra, equation, made.constants)


def write_like(
    source: FileSource, path: Path, trajectory: Trajectory, extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write trajectories in the format of the files that they continue, with their equation.

    The Well's and PDEBench's stay what they are; arrays of one's own, in whatever file, become an `.npz`, which
    says itself what it means.

    Raises:
        UserError: the file cannot be written.
    """
    kind = "npz" if source.kind == "arrays" else source.kind
    FORMATS[kind](path, trajectory, source.layouts()[0].equation, extra)


def write_npz(
    path: Path, trajectory: Trajectory, equation: str = "", extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write one array a field [sample, time, *axes], one a parameter [sample], and the coordinates.

    The array `fields` is a text of JSON with equation, boundaries and units, so that `kind=arrays` needs no settings.

    Raises:
        UserError: the file cannot be written.
    """
    require_folder(path)
    fields = trajectory.fields
    names = {name: name for name in fields.params}
    axes = [f"{name}-coordinate" for name in (*(axis.name for axis in fields.grid.axes), "t")]
    still = [field.name for field in fields.constants]
    used = [*fields.names, *names, *still, *axes, *(extra or {}), NAME]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise UserError(f"{path}: {', '.join(twice)} would stand twice in the file")
    arrays = dict(
        zip(fields.names, trajectory.values.numpy(force=True).swapaxes(0, 2).swapaxes(1, 2), strict=True)
    )
    arrays |= dict(zip(names, trajectory.params.numpy(force=True).T, strict=True))
    if trajectory.constants is not None:
        arrays |= dict(zip(still, trajectory.constants.numpy(force=True).swapaxes(0, 1), strict=True))
    arrays |= {f"{axis.name}-coordinate": axis.centres().numpy() for axis in fields.grid.axes}
    arrays["t-coordinate"] = fields.dt * np.arange(trajectory.values.shape[1] + 1)
    arrays |= {name: more.numpy(force=True) for name, more in (extra or {}).items()}
    arrays[NAME] = np.array(record(fields, equation, names))
    with disk(path), written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


FORMATS: dict[str, Write] = {"well": write_well, "pdebench": _pdebench, "npz": write_npz}
"""How each format is written: (path, trajectory, equation, extra arrays such as the members of an ensemble)."""
