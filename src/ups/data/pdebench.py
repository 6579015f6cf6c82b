"""PDEBench's files: read as a source of trajectories, and written."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from jaxtyping import Float
from torch import Tensor

from ups.data.file_source import FileSource
from ups.data.layout import Layout
from ups.data.pdebench_layout import AXES, read_pdebench
from ups.data.recorded import NAME, record
from ups.files import require_folder, written_whole
from ups.types import Fields, UserError

ATTRIBUTES = {"nu": "Nu", "speed": "beta"}


class PDEBench(FileSource):
    """Trajectories of PDEBench files: Burgers, advection, reaction-diffusion, diffusion-sorption, CFD, dam break."""

    kind: Literal["pdebench"] = "pdebench"

    @property
    def equation(self) -> str:
        """The name of the equation of the (first) file; "" where it is not known.

        Raises:
            UserError: there is no file, or it cannot be read.
        """
        return self.layouts()[0].equation

    def layout(self, path: Path) -> Layout:
        """Return what one file holds, without reading its values."""
        return read_pdebench(path, self.boundary)


def write_pdebench(
    path: Path,
    values: Float[Tensor, "batch time field *grid"],
    fields: Fields,
    params: Float[Tensor, "batch param"],
    extra: Mapping[str, Tensor] | None = None,
    equation: str = "",
    constants: Float[Tensor, "batch constant *grid"] | None = None,
) -> None:
    """Write trajectories in PDEBench's layout; the file appears whole or not at all.

    One field is the dataset `tensor`, several carry their names. A parameter is an attribute, or a dataset of one
    value per trajectory where it varies; a constant field a dataset without time. `extra` datasets are written as
    they are. What PDEBench has no place for (boundaries, units, `equation`) stands in one attribute of JSON. As in
    PDEBench, the time axis is one longer than the frames.

    Raises:
        UserError: the file cannot be written, or the axes are not PDEBench's x, y, z.
    """
    require_folder(path)
    if (axes := tuple(axis.name for axis in fields.grid.axes)) != AXES[: len(axes)]:
        raise UserError(
            f"{path}: PDEBench's axes are x, y, z, these are {', '.join(axes)}; write another format"
        )
    names = {ATTRIBUTES.get(name, name): name for name in fields.params}
    with disk(path), written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        for field, name in enumerate(fields.names):
            stored = "tensor" if len(fields.names) == 1 else name
            file.create_dataset(stored, data=values[:, :, field].numpy(force=True))
        for axis in fields.grid.axes:
            centres = axis.origin + axis.extent * (np.arange(axis.cells) + 0.5) / axis.cells
            file[f"{axis.name}-coordinate"] = centres
        file["t-coordinate"] = fields.dt * np.arange(values.shape[1] + 1)
        for name, column in zip(names, params.unbind(1), strict=True):
            if (column == column[0]).all():
                file.attrs[name] = column[0].item()
            else:
                file[name] = column.numpy(force=True)
        if constants is not None:
            for field, part in zip(fields.constants, constants.unbind(1), strict=True):
                file[field.name] = part.numpy(force=True)
        for name, more in (extra or {}).items():
            file[name] = more.numpy(force=True)
        file.attrs[NAME] = record(fields, equation, names)


@contextmanager
def disk(path: Path) -> Generator[None]:
    """Turn a failure to write a file into one line.

    Raises:
        UserError: writing failed.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # HDF5 buries the system's words in a paragraph
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else " ".join(str(error).split())
        raise UserError(f"{path}: cannot write: {reason}; nothing was left behind") from None
