"""PDEBench's 1D files: read, strided as its users do, and written."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import h5py
import numpy as np
import torch
from jaxtyping import Float
from pydantic import BeforeValidator, PositiveFloat, PositiveInt
from torch import Tensor

from ups.config import Settings, digest
from ups.data.cache import cache_folder
from ups.data.equations import EQUATIONS
from ups.data.layout import Family, Layout, read_layout
from ups.files import written_whole
from ups.progress import Progress
from ups.solvers.equations import Equation
from ups.types import Fields, Grid, Trajectory, UserError, describe_boundaries

ATTRIBUTES = {"nu": "Nu", "speed": "beta"}


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


class PDEBench(Settings):
    """Trajectories of PDEBench files: Burgers, advection, reaction-diffusion, diffusion-sorption, 1D CFD.

    Several files, of several parameters say, are joined; they must agree in all but their parameters.
    """

    kind: Literal["pdebench"] = "pdebench"
    file: Annotated[tuple[Path, ...], BeforeValidator(_as_tuple)] = ()
    """The HDF5 file, or a list of them."""
    stride_space: PositiveInt = 1
    """Keep every n-th cell, without a filter, as PDEBench does (4 there)."""
    stride_time: PositiveInt = 1
    """Keep every n-th frame (5 in PDEBench)."""
    num_trajectories: PositiveInt | None = None
    """Read the first n trajectories of each file only."""
    max_memory_gb: PositiveFloat = 4.0
    """Values beyond this size are kept in a file in the cache folder and paged in as they are used."""

    @property
    def equation(self) -> str:
        """The name of the equation of the (first) file; "" where it is not known.

        Raises:
            UserError: there is no file, or it cannot be read.
        """
        return self._layouts()[0].equation

    @property
    def equation_class(self) -> Callable[..., Equation] | None:
        """The equation of the (first) file, for the classical solver; None where there is none for it.

        Raises:
            UserError: there is no file, or it cannot be read.
        """
        return EQUATIONS[self.equation].kind if self.equation in EQUATIONS else None

    def load(self, progress: Progress | None = None, cache_dir: Path | None = None) -> Trajectory:
        """Return the strided trajectories, file after file.

        Raises:
            UserError: a file is missing, damaged or of another layout; holds NaN or Inf; or files do not match.
        """
        layouts = self._layouts()
        fields = [self._strided(layout) for layout in layouts]
        for layout, other in zip(layouts[1:], fields[1:], strict=True):
            _same_grid(layouts[0], fields[0], layout, other)
        counts = [self._count(layout) for layout in layouts]
        frames = math.ceil(layouts[0].num_frames / self.stride_time)
        cells = layouts[0].num_cells // self.stride_space
        shape = (sum(counts), frames, len(fields[0].names), cells)

        if 4 * math.prod(shape) <= 1e9 * self.max_memory_gb:
            values = np.empty(shape, np.float32)
            self._fill(values, layouts, counts, progress)
        else:
            values = self._mapped(shape, layouts, counts, progress, cache_dir)
        params = np.concatenate([
            layout.params[:count] for layout, count in zip(layouts, counts, strict=True)
        ])
        return Trajectory(torch.from_numpy(values), torch.from_numpy(params), fields[0])

    def _layouts(self) -> list[Layout]:
        if not self.file:
            raise UserError("data.file is empty: give the PDEBench file, data.file=PATH")
        return [read_layout(path) for path in self.file]

    def _strided(self, layout: Layout) -> Fields:
        """Return the fields of the grid that is left: its points are the centres of wider cells."""
        num_cells, fields = layout.num_cells, layout.fields
        if num_cells % self.stride_space or num_cells == self.stride_space:
            raise UserError(
                f"{layout.path}: stride_space={self.stride_space} does not divide {num_cells} cells"
            )
        if self.stride_time > 1 and self.stride_time >= layout.num_frames:
            raise UserError(
                f"{layout.path}: stride_time={self.stride_time} leaves one of {layout.num_frames} frames"
            )
        _regular(layout)
        (axis,) = fields.grid.axes
        if self.stride_space > 1:
            widening = (self.stride_space - 1) / num_cells
            origin = round(axis.origin / axis.extent - widening / 2, 6) * axis.extent
            axis = replace(axis, origin=origin, cells=num_cells // self.stride_space)
        dt = float(f"{fields.dt * self.stride_time:.12g}")
        return replace(fields, dt=dt, grid=Grid((axis,)))

    def _count(self, layout: Layout) -> int:
        count = self.num_trajectories or layout.num_trajectories
        if count > layout.num_trajectories:
            raise UserError(
                f"{layout.path}: has {layout.num_trajectories} trajectories, {count} are asked for"
            )
        return count

    def _fill(
        self, values: np.ndarray, layouts: list[Layout], counts: list[int], progress: Progress | None
    ) -> None:
        offset = 0
        for layout, count in zip(layouts, counts, strict=True):
            for start, block in layout.blocks(count, self.stride_time, self.stride_space):
                _finite(layout.path, start, block, self.stride_time)
                values[offset + start : offset + start + len(block)] = block
                if progress:
                    progress((offset + start + len(block)) / len(values), layout.path.name)
            offset += count

    def _mapped(
        self,
        shape: tuple[int, ...],
        layouts: list[Layout],
        counts: list[int],
        progress: Progress | None,
        cache_dir: Path | None,
    ) -> np.ndarray:
        """Return the values as a private map of a file in the cache, made anew if a source has changed."""
        folder = cache_folder(cache_dir) / "pdebench"
        sources = [layout.path.resolve() for layout in layouts]
        what = digest([[str(path) for path in sources], shape, self.stride_time, self.stride_space])
        version = digest([[path.stat().st_size, path.stat().st_mtime_ns] for path in sources])
        target = folder / f"{what}-{version}.f32"
        if not (target.exists() and target.stat().st_size == 4 * math.prod(shape)):
            for stale in folder.glob(f"{what}-*.f32"):
                stale.unlink()
            with written_whole(target) as temporary:
                values = np.memmap(temporary, np.float32, "w+", shape=shape)
                self._fill(values, layouts, counts, progress)
                values.flush()
        return np.memmap(target, np.float32, "c", shape=shape)


def write_pdebench(
    path: Path,
    values: Float[Tensor, "batch time field space"],
    fields: Fields,
    params: Float[Tensor, "batch param"],
    extra: Mapping[str, Tensor] | None = None,
    equation: str = "",
) -> None:
    """Write trajectories in PDEBench's layout; the file appears whole or not at all.

    One field is the dataset `tensor`, several carry their names. A parameter is an attribute, or a dataset of one
    value per trajectory where it varies. `extra` datasets are written as they are.
    `equation` is recorded for those who want to solve it again. As in PDEBench, the time
    axis is one longer than the frames.

    Raises:
        UserError: the file cannot be written.
    """
    require_folder(path)
    names = {ATTRIBUTES.get(name, name): name for name in fields.params}
    (axis,) = fields.grid.axes
    units = tuple(field.unit for field in fields.each)
    family = Family(equation, "", names, fields.names, units, fields.conserved, axis.low.kind)
    with _disk(path), written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        for field, name in enumerate(fields.names):
            stored = "tensor" if len(fields.names) == 1 else name
            file.create_dataset(stored, data=values[:, :, field].numpy(force=True))
        file["x-coordinate"] = axis.origin + axis.extent * (np.arange(axis.cells) + 0.5) / axis.cells
        file["t-coordinate"] = fields.dt * np.arange(values.shape[1] + 1)
        for name, column in zip(names, params.unbind(1), strict=True):
            if (column == column[0]).all():
                file.attrs[name] = column[0].item()
            else:
                file[name] = column.numpy(force=True)
        for name, more in (extra or {}).items():
            file[name] = more.numpy(force=True)
        file.attrs["family"] = json.dumps(asdict(family))


@contextmanager
def _disk(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:  # HDF5 buries the system's words in a paragraph
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        raise UserError(f"{path}: cannot write: {reason}; nothing was left behind") from None


def require_folder(path: Path) -> None:
    """See that a file can be written, before the work for it begins.

    Raises:
        UserError: its folder does not exist or cannot be written.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: permission denied")


def _same_grid(first: Layout, fields: Fields, layout: Layout, other: Fields) -> None:
    for what, one, two in (
        ("fields", fields.names, other.names),
        ("parameters", fields.params, other.params),
        ("the equation", first.equation, layout.equation),
        ("frames", first.num_frames, layout.num_frames),
        ("cells", first.num_cells, layout.num_cells),
        ("boundaries", describe_boundaries(fields.grid), describe_boundaries(other.grid)),
    ):
        if one != two:
            raise UserError(f"{layout.path}: {what} differ from {first.path}: {two}, not {one}")
    for what, one, two in (
        ("the length of the domain", fields.grid.extent[0], other.grid.extent[0]),
        ("the left edge", fields.grid.origin[0], other.grid.origin[0]),
        ("dt", fields.dt, other.dt),
    ):
        if not math.isclose(one, two, rel_tol=1e-4, abs_tol=1e-5 * fields.grid.extent[0]):
            raise UserError(f"{layout.path}: {what} differs from {first.path}: {two:g}, not {one:g}")


def _regular(layout: Layout) -> None:
    steps = np.diff(layout.times[: layout.num_frames])
    if not np.allclose(steps, layout.fields.dt, rtol=0.02):
        frame = int(np.abs(steps - layout.fields.dt).argmax())
        raise UserError(f"{layout.path}: frames are not equally far apart in time, first at frame {frame}")


def _finite(path: Path, start: int, block: np.ndarray, stride_time: int) -> None:
    bad = ~np.isfinite(block).all(axis=(2, 3))
    if bad.any():
        trajectory, frame = np.argwhere(bad)[0]
        where = f"trajectory {start + trajectory}, frame {frame * stride_time}"
        raise UserError(f"{path}: NaN or Inf, first in {where}; `ups data check` lists all")
