"""Values between the cells of a periodic line."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def interpolate_periodic(
    values: Float[Tensor, "batch channel cell"], position: Float[Tensor, "batch point"]
) -> Float[Tensor, "batch channel point"]:
    """Return the cubic through the four nearest cell centres; fourth order, exact at the centres.

    `position` counts cells from the centre of the first one: k + s lies the fraction s of the way from centre k
    to centre k + 1, with weights -s(s-1)(s-2)/6, (s+1)(s-1)(s-2)/2, -(s+1)s(s-2)/2, (s+1)s(s-1)/6 (Lagrange) on
    centres k - 1 ... k + 2. Any real number is a position; the line repeats.
    """
    cell = position.floor()
    s = position - cell
    weights = [
        -s * (s - 1) * (s - 2) / 6,
        (s + 1) * (s - 1) * (s - 2) / 2,
        -(s + 1) * s * (s - 2) / 2,
        (s + 1) * s * (s - 1) / 6,
    ]
    result = torch.zeros_like(values[:, :, :1])
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        index = (cell.long() + offset) % values.shape[-1]
        neighbor = values.gather(2, index[:, None, :].expand(-1, values.shape[1], -1))
        result = result + weight[:, None, :] * neighbor
    return result
