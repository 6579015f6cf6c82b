"""What operators on cells share: fields that walls keep, and fluxes instead of rates where a field is conserved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ups.solvers.modes import require_modes
from ups.types import Fields, UserError, describe_boundaries

LEAST_MOVE = 1e-5
"""Of a mean, in parts of the root mean square of the field, that is more than the round-off of float32 frames."""


def require_scalars(fields: Fields, who: str) -> None:
    """See that walls, if there are any, meet fields that continue evenly through them.

    Raises:
        UserError: an axis is neither periodic nor between walls, or a vector meets a wall.
    """
    require_modes(fields.grid, who)
    vectors = [field.name for field in fields.each if field.vector]
    if vectors and not fields.grid.is_periodic:
        raise UserError(
            f"{who}: {', '.join(vectors)} are components of a vector, which turn their sign at walls "
            f"({describe_boundaries(fields.grid)}); choose data on a periodic domain"
        )


def means_that_move(frames: Float[Tensor, "batch time field *grid"]) -> Bool[Tensor, " field"]:
    """Return which fields have a mean over space that changes in any trajectory, by more than round-off.

    What never does in the data is conserved, whether they say so or not.
    """
    mean = frames.double().flatten(3).mean(3)
    size = frames.double().square().flatten(3).mean((0, 1, 3)).sqrt()
    return (mean - mean[:, :1]).abs().amax((0, 1)) > LEAST_MOVE * size


def flux_counts(conserved: Sequence[bool], num_axes: int) -> list[int]:
    """Return how many outputs of a network each field needs: a flux an axis if it is conserved, else a rate."""
    return [num_axes if is_conserved else 1 for is_conserved in conserved]


def rate(
    out: Float[Tensor, "batch out *grid"], conserved: Sequence[bool], walls: Sequence[bool]
) -> Float[Tensor, "batch field *grid"]:
    """Return the rates of change from the outputs of a network: minus the divergence where they are fluxes."""
    parts = out.split(flux_counts(conserved, len(walls)), dim=1)
    each = zip(parts, conserved, strict=True)
    return torch.cat([divergence(part, walls) if is_flux else part for part, is_flux in each], dim=1)


def divergence(
    flux: Float[Tensor, "batch flux *grid"], walls: Sequence[bool]
) -> Float[Tensor, "batch field *grid"]:
    """Return minus the sum of the differences of the fluxes through the upper and lower faces of each cell.

    Flux i of a cell is that through its upper face along axis i, in units of field times cell over step; a field has
    as many as there are axes. Nothing passes a wall, whatever is given for its face.
    """
    change = []
    for place, is_walled in zip(range(-len(walls), 0), walls, strict=True):
        through = flux[:, len(walls) + place :: len(walls)]
        if is_walled:
            inner = through.narrow(place, 0, through.shape[place] - 1)
            through = torch.cat([inner, torch.zeros_like(through.narrow(place, 0, 1))], place)
        change.append(through.roll(1, dims=place) - through)
    return sum(change[1:], change[0])
