"""Exact symmetries of the equations, drawn at random as augmentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from ups.config import nearest
from ups.types import Trajectory, UserError, describe_boundaries

Symmetry = Literal["shift", "reflect", "reflect_odd", "galilean"]
"""`shift`: x -> x + a along every periodic axis. `reflect`: x -> -x along any axis, the components of vectors along it
with it. On a periodic line also `reflect_odd`: (x, u) -> (-x, -u), and `galilean`: u -> u + c, x -> x + c t."""

MAX_BOOST = 2


def augment(batch: Trajectory, symmetries: Iterable[str], generator: Generator) -> Trajectory:
    """Return the windows, each under its own random element of the group that `symmetries` generate.

    Shifts are uniform over all cells of the periodic axes, reflections toss a fair coin for each axis, and a Galilean
    boost has the speed c = m dx / dt with m uniform in -2..2, so that frame k moves by exactly m k cells. All moves
    are gathers and no value is interpolated. Exact for translation-invariant equations (`shift`), even ones
    (`reflect`: heat, Fisher-KPP), Burgers and Kuramoto-Sivashinsky (`reflect_odd`, `galilean`); values follow the
    dtype of `batch`.

    Raises:
        UserError: a symmetry is unknown, or the data do not have it.
    """
    chosen = set(symmetries)
    if not chosen:
        return batch
    check(batch, chosen)
    values, axes = batch.values, batch.fields.grid.axes
    num, num_frames = values.shape[:2]

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (num,), generator=generator).to(values.device)

    still = torch.zeros(num, 1, dtype=torch.long, device=values.device)
    shifts = "shift" in chosen
    offsets = [draw(0, axis.cells)[:, None] if shifts and axis.is_periodic else still for axis in axes]
    boost = None
    if "galilean" in chosen:
        boost = draw(-MAX_BOOST, MAX_BOOST + 1)
        offsets[0] = offsets[0] + boost[:, None] * torch.arange(num_frames, device=values.device)
    cells = [_cells(axis.cells, offset) for axis, offset in zip(axes, offsets, strict=True)]
    signs = None
    for name in ("reflect", "reflect_odd"):
        for place, axis in enumerate(axes if name in chosen else ()):
            mirrored = draw(0, 2)
            cells[place] = torch.where(mirrored.bool()[:, None, None], -1 - cells[place], cells[place])
            turned = [
                name == "reflect_odd" or (bool(f.vector) and f.axis == axis.name) for f in batch.fields.each
            ]
            if any(turned):
                sign = 1 - 2 * mirrored[:, None] * torch.tensor(turned, device=values.device)
                signs = sign if signs is None else signs * sign

    # output[i, k, f, j] = sign * input[i, k, f, cell[i, k, j]] + c; cells run from -num_cells to num_cells - 1
    for place, (axis, cell) in enumerate(zip(axes, cells, strict=True), start=3):
        cell = torch.where(cell < 0, cell + axis.cells, cell)
        shape = (*cell.shape[:2], 1, *(1,) * (place - 3), axis.cells, *(1,) * (values.ndim - 1 - place))
        values = values.gather(place, cell.reshape(shape).expand(values.shape))
    if signs is not None:
        values = values * signs.reshape(num, 1, -1, *(1,) * len(axes)).to(values.dtype)
    if boost is not None:
        speed = axes[0].spacing / batch.fields.dt
        values = values + (speed * boost)[:, None, None, None].to(values.dtype)
    return replace(batch, values=values)


def _cells(num_cells: int, offset: Tensor) -> Tensor:
    return torch.arange(num_cells, device=offset.device) - offset.remainder(num_cells)[..., None]


def check(batch: Trajectory, symmetries: Iterable[str]) -> None:
    """See that the symmetries are known and that the data have them.

    Raises:
        UserError: they are not, or the domain, or fields that do not change, break them.
    """
    known, grid = get_args(Symmetry), batch.fields.grid
    for name in symmetries:
        if name not in known:
            raise UserError(f"setting 'symmetries': no symmetry '{name}'{nearest(name, known)}")
        has = {
            "shift": any(axis.is_periodic for axis in grid.axes),
            "reflect": all(axis.low == axis.high for axis in grid.axes),
        }
        if not has.get(name, len(grid) == 1 and grid.is_periodic):
            raise UserError(
                f"symmetries: the data do not have '{name}', they live on {describe_boundaries(grid)}"
            )
    if batch.constants is not None and batch.fields.constants:
        names = ", ".join(field.name for field in batch.fields.constants)
        raise UserError(f"symmetries: {names} of the data do not change and break them; set symmetries=[]")
