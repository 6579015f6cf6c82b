"""What a file of trajectories holds, whatever its format: fields, grid, times, and how to read its blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ups.config import shown
from ups.types import Fields, UserError

BLOCK_BYTES = 64e6

Cut = tuple[slice, ...]
"""What is kept of time and of each axis of space."""

Read = Callable[[int, int, Cut], np.ndarray]
"""Return trajectories `start` to `stop` [batch time field *grid], cut in time and space."""


@dataclass(frozen=True)
class Layout:
    """The stored grid, times and parameters of one file, and the way to its values.

    `fields` are those of the stored grid. `params` is float32 [batch param], `constants` float32
    [batch constant *grid], `actions` float32 [batch time action]. `missing` is what the file does not say and the
    user has to, in one line; `notes` is what the file has and nobody uses. `num_bytes` of one stored number.
    """

    path: Path
    format: str
    equation: str
    fields: Fields
    num_trajectories: int
    num_frames: int
    params: np.ndarray
    times: np.ndarray
    read: Callable[[], AbstractContextManager[Read]]
    constants: np.ndarray | None = None
    actions: np.ndarray | None = None
    missing: str = ""
    notes: tuple[str, ...] = ()
    num_bytes: int = field(default=8, kw_only=True)

    def blocks(self, num: int, cut: Cut | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first trajectory, float32 values [batch time field *grid]) of the first `num` trajectories.

        Whole trajectories are read, contiguously, and cut in memory: HDF5's own strided read is slower by orders
        of magnitude. A block takes about 64 MB.

        Raises:
            UserError: the file is damaged.
        """
        cut = cut or (slice(None),) * (1 + len(self.fields.grid))
        cells = math.prod(self.fields.grid.shape)
        size = max(1, int(BLOCK_BYTES / (self.num_bytes * len(self.fields) * cells * self.num_frames)))
        with self.read() as read, np.errstate(over="ignore"):
            for start in range(0, num, size):
                values = read(start, min(num, start + size), cut)
                yield start, np.ascontiguousarray(values, dtype=np.float32)


def even_axis(path: Path, name: str, x: np.ndarray, num_cells: int) -> tuple[float, float]:
    """Return the length and the left edge of equal cells around N centres dx apart: N dx, and dx/2 before the first.

    Raises:
        UserError: the coordinates are not N equally spaced, increasing numbers.
    """
    digits, x = _digits(x), np.asarray(x, np.float64)
    if x.shape != (num_cells,) or num_cells < 2:
        raise UserError(f"{path}: {shown(name)} has shape {x.shape} for {num_cells} cells")
    dx = float(x[-1] - x[0]) / (num_cells - 1)
    if not (dx > 0 and np.allclose(np.diff(x), dx, rtol=0.02, atol=0)):
        raise UserError(f"{path}: {shown(name)} is not a uniform increasing grid")
    extent = rounded(num_cells * dx, digits)
    _plain(path, name, extent)
    return extent, placed(float(x[0]) - dx / 2, extent, digits)


def even_times(path: Path, name: str, times: np.ndarray, num_frames: int) -> tuple[np.ndarray, float]:
    """Return the times and their mean difference; there may be one more of them than frames, as in PDEBench.

    Raises:
        UserError: their number does not fit, or they do not increase.
    """
    digits, times = _digits(times), np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) not in (num_frames, num_frames + 1) or len(times) < 2:
        raise UserError(f"{path}: {shown(name)} has shape {times.shape} for {num_frames} frames")
    if not np.isfinite(times).all():
        raise UserError(f"{path}: {shown(name)} holds NaN or Inf")
    used = times[: max(num_frames, 2)]
    dt = (used[-1] - used[0]) / (len(used) - 1)
    if not dt > 0:
        raise UserError(f"{path}: {shown(name)} does not increase")
    _plain(path, name, dt)
    return times, rounded(dt, digits)


def placed(origin: float, extent: float, digits: int = 6) -> float:
    """Round where a domain begins to the digits that a point of it has."""
    return round(origin, digits - math.floor(math.log10(extent))) + 0.0


def rounded(value: float, digits: int) -> float:
    """Round to the digits that the coordinates carry, so that files that should agree do agree."""
    return float(f"{value:.{digits}g}")


def _digits(stored: np.ndarray) -> int:
    return 6 if stored.dtype.itemsize <= 4 else 12


def _plain(path: Path, name: str, size: float) -> None:
    if not 1e-30 < size < 1e30:
        raise UserError(
            f"{path}: {shown(name)} spans {size:g}; choose units in which it is between 1e-30 and 1e30"
        )
