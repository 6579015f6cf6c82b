"""The Well's files: read as a source of trajectories, and written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from jaxtyping import Float
from torch import Tensor

from ups.data.file_source import FileSource
from ups.data.layout import Layout
from ups.data.pdebench import disk
from ups.data.recorded import NAME, record
from ups.data.well_layout import RANKS, components, read_well
from ups.files import require_folder, written_whole
from ups.types import Axis, Field, Trajectory, UserError


class Well(FileSource):
    """Trajectories of files in the format of The Well (arXiv:2412.00568): uniform cartesian grids."""

    kind: Literal["well"] = "well"

    @property
    def equation(self) -> str:
        """The name of the equation of the (first) file; "" where it is not recorded.

        Raises:
            UserError: there is no file, or it cannot be read.
        """
        return self.layouts()[0].equation

    def layout(self, path: Path) -> Layout:
        """Return what one file holds, without reading its values."""
        return read_well(path, self.boundary)


def write_well(
    path: Path, trajectory: Trajectory, equation: str = "", extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write trajectories in The Well's format; the file appears whole or not at all.

    Fields that form a whole vector or tensor are one dataset of `t1_fields` or `t2_fields`, all others stand in
    `t0_fields`; constant fields beside them with `time_varying` false, parameters in `scalars`. The Well knows
    periodic, wall and open: a value or a slope that is held is written as a wall. What it has no place for (units,
    conservation, values at a wall, `equation`) stands in one attribute of JSON. `extra` datasets are written as
    they are.

    Raises:
        UserError: the file cannot be written, or there is one frame only.
    """
    require_folder(path)
    fields = trajectory.fields
    if trajectory.values.shape[1] < 2:
        raise UserError(
            f"{path}: one frame has no step in time, which The Well's format needs; write another format"
        )
    with disk(path), written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["dataset_name"] = path.stem
        file.attrs["grid_type"] = "cartesian"
        file.attrs["n_spatial_dims"] = len(fields.grid)
        file.attrs["n_trajectories"] = len(trajectory)
        file.attrs[NAME] = record(fields, equation, {name: name for name in fields.params})
        _write_dimensions(file, trajectory)
        _write_boundaries(file, fields.grid.axes)
        _write_params(file, trajectory)
        for group in RANKS:
            file.create_group(group).attrs["field_names"] = []
        _write_fields(file, fields.each, trajectory.values, time_varying=True)
        if trajectory.constants is not None:
            _write_fields(file, fields.constants, trajectory.constants[:, None], time_varying=False)
        for name, more in (extra or {}).items():
            file[name] = more.numpy(force=True)


def _write_dimensions(file: h5py.File, trajectory: Trajectory) -> None:
    fields, group = trajectory.fields, file.create_group("dimensions")
    group.attrs["spatial_dims"] = [axis.name for axis in fields.grid.axes]
    group["time"] = (fields.dt * np.arange(trajectory.values.shape[1])).astype(np.float32)
    for axis in fields.grid.axes:
        group[axis.name] = axis.centres().numpy().astype(np.float32)
    for stored in group.values():
        stored.attrs.update({"sample_varying": False, "time_varying": False})


def _write_boundaries(file: h5py.File, axes: tuple[Axis, ...]) -> None:
    group = file.create_group("boundary_conditions")
    for axis in axes:
        kinds = [end.kind if end.kind in ("periodic", "open") else "wall" for end in (axis.low, axis.high)]
        for kind in dict.fromkeys(kinds):
            condition = group.create_group(f"{axis.name}_{kind}")
            mask = np.zeros(axis.cells, bool)
            mask[[place for place, found in ((0, kinds[0]), (-1, kinds[1])) if found == kind]] = True
            condition["mask"] = mask
            condition.attrs.update({
                "bc_type": kind.upper(),
                "associated_dims": [axis.name],
                "associated_fields": [],
            })
            condition.attrs.update({"sample_varying": False, "time_varying": False})


def _write_params(file: h5py.File, trajectory: Trajectory) -> None:
    """A parameter that all trajectories share is one of the file, too."""
    group, shared = file.create_group("scalars"), []
    group.attrs["field_names"] = list(trajectory.fields.params)
    for name, column in zip(trajectory.fields.params, trajectory.params.numpy(force=True).T, strict=True):
        varies = bool((column != column[0]).any())
        group[name] = column if varies else column[0]
        group[name].attrs.update({"sample_varying": varies, "time_varying": False})
        if not varies and name not in file.attrs:
            file.attrs[name] = column[0]
            shared.append(name)
    file.attrs["simulation_parameters"] = shared


def _write_fields(
    file: h5py.File,
    each: tuple[Field, ...],
    values: Float[Tensor, "batch time field *grid"],
    *,
    time_varying: bool,
) -> None:
    axes = tuple(file["dimensions"].attrs["spatial_dims"])
    left = list(range(len(each)))
    for rank in (2, 1, 0):
        group = file[RANKS[rank]]
        for name in dict.fromkeys(field.vector if rank else field.name for field in each):
            places = {
                field.axis if rank else "": place
                for place, field in enumerate(each)
                if place in left and (field.vector if rank else field.name) == name
            }
            wanted = components(axes, rank)
            if (rank and not name) or set(places) != set(wanted):
                continue
            left = [place for place in left if place not in places.values()]
            parts = values[:, :, [places[axis] for axis in wanted]].numpy(force=True)
            if not time_varying:
                parts = parts[:, 0]
            grid = parts.shape[-len(axes) :]
            parts = np.moveaxis(parts, -len(axes) - 1, -1).reshape(
                *parts.shape[: 1 + time_varying], *grid, *(len(axes),) * rank
            )
            group[name] = parts.astype(np.float32)
            group[name].attrs.update({"sample_varying": True, "time_varying": time_varying})
            group[name].attrs["dim_varying"] = [True] * len(axes)
            if rank == 2:
                group[name].attrs.update({"symmetric": False, "antisymmetric": False})
            group.attrs["field_names"] = [*group.attrs["field_names"], name]
