"""What holds at the ends of the axes, from The Well's masks over the cells."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ups.config import shown
from ups.data.hdf5 import find, flag, numbers, texts
from ups.types import PERIODIC, Boundary, UserError

KINDS = ("periodic", "wall", "open")


def sides(
    path: Path, file: h5py.File, axes: tuple[str, ...], cells: tuple[int, ...]
) -> tuple[dict[str, tuple[Boundary, Boundary]], list[str]]:
    """Return the boundaries of each axis whose both ends are told, and what is in the masks besides.

    A condition holds at an end if its mask covers that whole face, corners aside, where others may meet it. An end
    that is covered in part, or by two kinds, is not told: The Well's own reader calls it open, we ask.

    Raises:
        UserError: a mask has another shape than the axes it names, or differs between trajectories.
    """
    found: dict[tuple[str, int], set[str]] = {}
    notes: list[str] = []
    group = find(file, "boundary_conditions")
    for name in group if isinstance(group, h5py.Group) else ():
        condition = find(file, f"boundary_conditions/{name}")
        if not isinstance(condition, h5py.Group):
            raise UserError(f"{path}: boundary_conditions/{shown(name)} is not a group")
        kind = " ".join(texts(condition.attrs.get("bc_type", ""))).lower()
        if kind not in KINDS:
            notes.append(f"boundary condition {shown(name, 40)} of type '{shown(kind, 40)}'")
            continue
        dims = texts(condition.attrs.get("associated_dims", []))
        mask = _mask(path, condition, name, dims, axes, cells)
        for place, axis in enumerate(dims):
            inner = tuple(
                slice(None) if other == place or n <= 2 else slice(1, -1)
                for other, n in enumerate(mask.shape)
            )
            for end in (0, -1):
                face = mask[inner].take(end, axis=place)
                if face.any():
                    found.setdefault((axis, end), set()).add(kind if face.all() else "part")
        middle = mask[tuple(slice(1, -1) for _ in dims)]
        if middle.any() and not mask.all():
            notes.append(f"boundary condition {shown(name, 40)} inside the domain ({middle.sum()} cells)")
    told: dict[str, tuple[Boundary, Boundary]] = {}
    for axis in axes:
        ends = [found.get((axis, end), set()) for end in (0, -1)]
        if all(len(kinds) == 1 and kinds <= set(KINDS) for kinds in ends):
            low, high = (Boundary(next(kind for kind in KINDS if kind in kinds)) for kinds in ends)
            if (low == PERIODIC) == (high == PERIODIC):
                told[axis] = (low, high)
    return told, notes


def _mask(
    path: Path,
    condition: h5py.Group,
    name: str,
    dims: tuple[str, ...],
    axes: tuple[str, ...],
    cells: tuple[int, ...],
) -> np.ndarray:
    """Return a mask over the cells of the axes that it names."""
    where = f"boundary_conditions/{shown(name, 40)}"
    stored = numbers(path, find(condition, "mask"), f"{where}/mask")
    mask = np.asarray(stored[()]).astype(bool)
    if not dims or not set(dims) <= set(axes) or len(set(dims)) < len(dims):
        raise UserError(
            f"{path}: {where}@associated_dims is {shown(list(dims), 60)}; axes are {', '.join(axes)}"
        )
    for what in ("sample_varying", "time_varying"):
        if flag(condition, what, default=False):
            if mask.ndim == 0 or not len(mask) or (mask != mask[:1]).any():
                raise UserError(
                    f"{path}: {where} differs along {what.removesuffix('_varying')}; split the file"
                )
            mask = mask[0]
    wanted = tuple(cells[axes.index(axis)] for axis in dims)
    if mask.shape != wanted:
        raise UserError(f"{path}: {where}/mask has shape {mask.shape}, expected {wanted}")
    return mask
