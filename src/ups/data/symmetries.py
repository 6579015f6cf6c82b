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
"""`shift`: x -> x + a. `reflect`: x -> -x. `reflect_odd`: (x, u) -> (-x, -u). `galilean`: u -> u + c, x -> x + c t."""

MAX_BOOST = 2


def augment(batch: Trajectory, symmetries: Iterable[str], generator: Generator) -> Trajectory:
    """Return the windows, each under its own random element of the group that `symmetries` generate.

    Shifts are uniform over all cells, reflections toss a fair coin, and a Galilean boost has the speed
    c = m dx / dt with m uniform in -2..2, so that frame k moves by exactly m k cells. All moves are one gather
    and no value is interpolated. Exact for translation-invariant equations (`shift`), even ones (`reflect`: heat,
    Fisher-KPP), Burgers and Kuramoto-Sivashinsky (`reflect_odd`, `galilean`); values follow the dtype of `batch`.

    Raises:
        UserError: a symmetry is unknown, or the domain is not periodic and one-dimensional.
    """
    chosen = set(symmetries)
    if not chosen:
        return batch
    check(batch, chosen)
    values = batch.values
    num, num_frames, _, num_cells = values.shape

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (num,), generator=generator).to(values.device)

    offset = torch.zeros(num, 1, dtype=torch.long, device=values.device)  # in cells, of each frame
    boost = None
    if "shift" in chosen:
        offset = draw(0, num_cells)[:, None]
    if "galilean" in chosen:
        boost = draw(-MAX_BOOST, MAX_BOOST + 1)
        offset = offset + boost[:, None] * torch.arange(num_frames, device=values.device)
    cell = torch.arange(num_cells, device=values.device) - offset.remainder(num_cells)[..., None]
    sign = None
    for name in ("reflect", "reflect_odd"):
        if name in chosen:
            mirrored = draw(0, 2)
            cell = torch.where(mirrored.bool()[:, None, None], -1 - cell, cell)
            if name == "reflect_odd":
                sign = 1 - 2 * mirrored[:, None, None, None].to(values.dtype)

    # output[i, k, f, j] = sign * input[i, k, f, cell[i, k, j]] + c; cells run from -num_cells to num_cells - 1
    cell = torch.where(cell < 0, cell + num_cells, cell)
    values = values.gather(-1, cell[:, :, None].expand(values.shape))
    if sign is not None:
        values = values * sign
    if boost is not None:
        speed = batch.fields.grid.extent[0] / num_cells / batch.fields.dt
        values = values + (speed * boost)[:, None, None, None].to(values.dtype)
    return replace(batch, values=values)


def check(batch: Trajectory, symmetries: Iterable[str]) -> None:
    """See that the symmetries are known and that the domain has them.

    Raises:
        UserError: they are not, or it has not.
    """
    known = get_args(Symmetry)
    for name in symmetries:
        if name not in known:
            raise UserError(f"setting 'symmetries': no symmetry '{name}'{nearest(name, known)}")
    if not batch.fields.grid.is_periodic or len(batch.fields.grid) != 1:
        raise UserError(
            f"symmetries need a periodic line, the data live on {describe_boundaries(batch.fields.grid)}; "
            "set symmetries=[]"
        )
