"""Trajectories of files: joined, strided as their users do, and paged from disk where they exceed memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, PositiveFloat, PositiveInt

from ups.config import Settings, digest
from ups.data.boundaries import Boundaries
from ups.data.cache import cache_folder
from ups.data.hdf5 import finite
from ups.data.layout import Cut, Layout, placed
from ups.files import written_whole
from ups.progress import Progress
from ups.solvers.equations import EQUATIONS, Equation
from ups.types import Fields, Grid, Trajectory, UserError, describe_boundaries


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


class FileSource(Settings):
    """What all readers of files have in common.

    Several files, of several parameters say, are joined; they must agree in all but their parameters.
    """

    kind: str = ""
    file: Annotated[tuple[Path, ...], BeforeValidator(_as_tuple)] = ()
    """The file, or a list of them."""
    stride_space: PositiveInt | tuple[PositiveInt, ...] = 1
    """Keep every n-th cell, without a filter, as PDEBench does (4 there); a list has one for each axis."""
    stride_time: PositiveInt = 1
    """Keep every n-th frame (5 in PDEBench)."""
    num_trajectories: PositiveInt | None = None
    """Read the first n trajectories of each file only."""
    max_memory_gb: PositiveFloat = 4.0
    """Values beyond this size are kept in a file in the cache folder and paged in as they are used."""
    boundary: Boundaries = {}
    """What holds at the ends of the axes, where the file does not say or says it wrongly: periodic, wall, open,
    dirichlet(0), neumann(0); {x: periodic, y: [wall, open]}."""

    @property
    def equation_class(self) -> type[Equation] | None:
        """The equation of the (first) file, for the classical solver; None where there is none for it, or for its grid.

        Raises:
            UserError: there is no file, or it cannot be read.
        """
        layout = self.layouts()[0]
        equation = EQUATIONS.get(layout.equation)
        return None if equation is None or equation.obstacle(layout.fields.grid) else equation

    def truth_floor(self) -> None:
        """Return None: no file says how far its frames are from the solution."""

    def layout(self, path: Path) -> Layout:
        """Return what one file holds, without reading its values.

        Raises:
            UserError: the file is missing, damaged, or of another format.
        """
        raise NotImplementedError

    def layouts(self) -> list[Layout]:
        """Return what each file holds, without reading its values.

        Raises:
            UserError: there is no file, or one is missing, damaged, or of another format.
        """
        if not self.file:
            raise UserError("data.file is empty: give the file, data.file=PATH")
        return [self.layout(path) for path in self.file]

    def load(self, progress: Progress | None = None, cache_dir: Path | None = None) -> Trajectory:
        """Return the strided trajectories, file after file.

        Raises:
            UserError: a file is missing, damaged or of another layout; does not tell its boundaries; holds NaN or
                Inf; or files do not match.
        """
        layouts = self.layouts()
        for layout in layouts:
            if layout.missing:
                raise UserError(layout.missing)
        cuts = [self._cut(layout) for layout in layouts]
        fields = [_strided(layout, cut) for layout, cut in zip(layouts, cuts, strict=True)]
        for layout, other in zip(layouts[1:], fields[1:], strict=True):
            _same_grid(layouts[0], fields[0], layout, other)
        counts = [self._count(layout) for layout in layouts]
        frames = math.ceil(layouts[0].num_frames / self.stride_time)
        shape = (sum(counts), frames, len(fields[0]), *fields[0].grid.shape)

        def fill(values: np.ndarray) -> None:
            _fill(values, layouts, counts, cuts, progress)

        if 4 * math.prod(shape) <= 1e9 * self.max_memory_gb:
            values = np.empty(shape, np.float32)
            fill(values)
        else:
            values = self._mapped(shape, layouts, fill, cache_dir)
        params = np.concatenate([
            layout.params[:count] for layout, count in zip(layouts, counts, strict=True)
        ])
        constants = [
            layout.constants[:count, :, *cut[1:]]
            for layout, count, cut in zip(layouts, counts, cuts, strict=True)
            if layout.constants is not None
        ]
        return Trajectory(
            torch.from_numpy(values),
            torch.from_numpy(params),
            fields[0],
            torch.from_numpy(np.concatenate(constants)) if constants else None,
            self._actions(layouts, counts),
        )

    def _actions(self, layouts: list[Layout], counts: list[int]) -> torch.Tensor | None:
        """Return what was done after each frame; frames that are left out would leave actions out."""
        done = [
            layout.actions[:n]
            for layout, n in zip(layouts, counts, strict=True)
            if layout.actions is not None
        ]
        if done and self.stride_time > 1:
            raise UserError(
                f"{layouts[0].path}: stride_time={self.stride_time} would leave actions out; set stride_time=1"
            )
        return torch.from_numpy(np.concatenate(done)) if done else None

    def _cut(self, layout: Layout) -> Cut:
        """Return what is kept of time and of each axis."""
        grid = layout.fields.grid
        strides = (
            self.stride_space if isinstance(self.stride_space, tuple) else (self.stride_space,) * len(grid)
        )
        if len(strides) != len(grid):
            raise UserError(
                f"{layout.path}: stride_space={list(strides)} for {len(grid)} axes; give one for each"
            )
        for stride, num_cells in zip(strides, grid.shape, strict=True):
            if stride > 1 and (num_cells % stride or num_cells == stride):
                raise UserError(f"{layout.path}: stride_space={stride} does not divide {num_cells} cells")
        if self.stride_time > 1 and self.stride_time >= layout.num_frames:
            raise UserError(
                f"{layout.path}: stride_time={self.stride_time} leaves one of {layout.num_frames} frames"
            )
        return tuple(slice(None, None, stride) for stride in (self.stride_time, *strides))

    def _count(self, layout: Layout) -> int:
        count = self.num_trajectories or layout.num_trajectories
        if count > layout.num_trajectories:
            raise UserError(
                f"{layout.path}: has {layout.num_trajectories} trajectories, {count} are asked for"
            )
        return count

    def _mapped(
        self,
        shape: tuple[int, ...],
        layouts: list[Layout],
        fill: Callable[[np.ndarray], None],
        cache_dir: Path | None,
    ) -> np.ndarray:
        """Return the values as a private map of a file in the cache, made anew if a source or setting has changed."""
        folder = cache_folder(cache_dir) / self.kind
        sources = [layout.path.resolve() for layout in layouts]
        what = digest([
            [str(path) for path in sources],
            self.model_dump(mode="json", exclude={"file", "max_memory_gb"}),
        ])
        version = digest([_version(path) for path in sources])
        target = folder / f"{what}-{version}.f32"
        if not (target.exists() and target.stat().st_size == 4 * math.prod(shape)):
            for stale in folder.glob(f"{what}-*.f32"):
                stale.unlink()
            with written_whole(target) as temporary:
                values = np.memmap(temporary, np.float32, "w+", shape=shape)
                fill(values)
                values.flush()
        return np.memmap(target, np.float32, "c", shape=shape)


def _version(path: Path) -> list[int]:
    """Return what changes when a file, or a file of a folder, is written anew."""
    found = [part.stat() for part in (path, *path.rglob("*"))]
    return [sum(part.st_size for part in found), max(part.st_mtime_ns for part in found)]


def _strided(layout: Layout, cut: Cut) -> Fields:
    """Return the fields of the grid that is left: its points are the centres of wider cells."""
    fields, (stride_time, *strides) = layout.fields, (part.step or 1 for part in cut)
    if (frame := uneven_frame(layout)) is not None:
        raise UserError(f"{layout.path}: frames are not equally far apart in time, first at frame {frame}")
    axes = []
    for axis, stride in zip(fields.grid.axes, strides, strict=True):
        if stride > 1:
            widening = (stride - 1) / axis.cells
            origin = placed(axis.origin - widening / 2 * axis.extent, axis.extent)
            axis = replace(axis, origin=origin, cells=axis.cells // stride)
        axes.append(axis)
    dt = float(f"{fields.dt * stride_time:.12g}")
    return replace(fields, dt=dt, grid=Grid(tuple(axes)))


def uneven_frame(layout: Layout) -> int | None:
    """Return the frame after which the step in time is most unlike the mean, None if all are alike to 2 %."""
    steps = np.diff(layout.times[: layout.num_frames])
    if np.allclose(steps, layout.fields.dt, rtol=0.02, atol=0):
        return None
    return int(np.abs(steps - layout.fields.dt).argmax())


def _fill(
    values: np.ndarray, layouts: list[Layout], counts: list[int], cuts: list[Cut], progress: Progress | None
) -> None:
    offset = 0
    for layout, count, cut in zip(layouts, counts, cuts, strict=True):
        if layout.constants is not None:
            finite(layout.path, "a constant field", layout.constants)
        for start, block in layout.blocks(count, cut):
            _finite(layout.path, start, block, cut[0].step or 1)
            values[offset + start : offset + start + len(block)] = block
            if progress:
                progress((offset + start + len(block)) / len(values), layout.path.name)
        offset += count


def _same_grid(first: Layout, fields: Fields, layout: Layout, other: Fields) -> None:
    for what, one, two in (
        ("fields", fields.names, other.names),
        ("parameters", fields.params, other.params),
        ("constant fields", fields.constants, other.constants),
        ("actions", fields.actions, other.actions),
        ("the equation", first.equation, layout.equation),
        ("frames", first.num_frames, layout.num_frames),
        ("cells", str(fields.grid), str(other.grid)),
        ("boundaries", describe_boundaries(fields.grid), describe_boundaries(other.grid)),
    ):
        if one != two:
            raise UserError(f"{layout.path}: {what} differ from {first.path}: {two}, not {one}")
    for what, one, two, size in (
        *(
            pair
            for a, b in zip(fields.grid.axes, other.grid.axes, strict=True)
            for pair in (
                ("the length of the domain", a.extent, b.extent, a.extent),
                ("the left edge", a.origin, b.origin, a.extent),
            )
        ),
        ("dt", fields.dt, other.dt, fields.dt),
    ):
        if not math.isclose(one, two, rel_tol=1e-4, abs_tol=1e-5 * size):
            raise UserError(f"{layout.path}: {what} differs from {first.path}: {two:g}, not {one:g}")


def _finite(path: Path, start: int, block: np.ndarray, stride_time: int) -> None:
    bad = ~np.isfinite(block)
    if not bad.any():
        return
    always = bad.shape[1] > 1 and (bad[0] == bad[0, :1]).all()
    if always and bad[0, 0, 0].any() and not bad[0, 0, 0].all():
        raise UserError(
            f"{path}: the same {bad[0, 0, 0].sum()} cells are NaN in every frame, as of a mask; fill them, and give "
            "the mask as a constant field"
        )
    trajectory, frame = np.argwhere(bad.any(axis=tuple(range(2, bad.ndim))))[0]
    where = f"trajectory {start + trajectory}, frame {frame * stride_time}"
    raise UserError(f"{path}: NaN or Inf, first in {where}; `ups data check` lists all")
