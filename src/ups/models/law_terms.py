"""The terms that a law may have: products of the fields, what flows carry, fixed forcings, through derivatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ups.solvers.modes import Modes
from ups.types import Fields, Grid

MAX_DEGREE = 3
"""Of the products of fields."""

HIGHEST = {1: 4, 2: 4, 3: 1}
"""Waves along an axis that a forcing may have, by the number of axes."""

MOST_CARRIED = 2
"""Fields up to which each is offered as a vorticity, whose flow carries the others."""

SQUARED_GRADIENT = (-1, -1)
"""A factor that is no product: |grad w|^2, of a single field."""

Factor = tuple[int, ...]
"""The fields whose product is taken, () for 1; or `SQUARED_GRADIENT`, what is `carried`, or a `wave`."""

CARRIED, WAVE = -2, -3
"""First numbers of factors that are no product."""


@dataclass(frozen=True)
class Term:
    """One term of du_field/dt: a derivative of a factor."""

    field: int
    factor: Factor
    derivative: str


def library(fields: Fields) -> tuple[Term, ...]:
    """Return the terms that a law of these fields may have.

    A conserved field changes by the divergence of a flux: derivatives of products of fields up to degree 3, first ones
    along periodic axes, of the field itself up to fourth. Any other field has products too, and with a single field
    |grad u|^2. Between walls, where fields are even, odd derivatives have no place. In a periodic plane each of up to
    two fields may be a vorticity whose flow carries it and the other. A forcing that is fixed in space is a sum of
    waves; see `is_forcing`.
    """
    periodic = [place for place, axis in enumerate(fields.grid.axes) if axis.is_periodic]
    odd = [f"d{place}" for place in periodic]
    third = [f"ddd{place}" for place in periodic]
    products: list[Factor] = [
        factor
        for degree in range(2, MAX_DEGREE + 1)
        for factor in combinations_with_replacement(range(len(fields.names)), degree)
    ]
    terms = []
    for index, each in enumerate(fields.each):
        own: Factor = (index,)
        others: list[Factor] = [(other,) for other in range(len(fields.names)) if other != index]
        terms += [Term(index, own, derivative) for derivative in (*odd, "laplacian", *third, "bilaplacian")]
        terms += [Term(index, other, derivative) for other in others for derivative in (*odd, "laplacian")]
        terms += [Term(index, product, derivative) for product in products for derivative in odd]
        if not each.conserved:
            gradients = [SQUARED_GRADIENT] if len(fields.names) == 1 else []
            terms += [Term(index, factor, "1") for factor in ((), own, *others, *products, *gradients)]
            terms += [Term(index, factor, "mean") for factor in (*products, *gradients)]
        if len(fields.grid) == 2 and fields.grid.is_periodic and len(fields) <= MOST_CARRIED:
            terms += [Term(index, (CARRIED, flow, index), "1") for flow in range(len(fields))]
        terms += [Term(index, factor, "1") for factor in _waves(fields.grid)]
    return tuple(terms)


def is_forcing(term: Term) -> bool:
    """Return whether a term is a wave that is fixed in space: there is one for each of many, and few laws have any."""
    return term.factor[:1] == (WAVE,)


def _waves(grid: Grid) -> list[Factor]:
    """Return the waves of a grid, cosines between walls, up to `HIGHEST` along each axis, without the constant."""
    highest = HIGHEST[len(grid)]
    numbers = product(*(range(-highest if axis.is_periodic else 0, highest + 1) for axis in grid.axes))
    found: list[Factor] = []
    for each in numbers:
        phase = [number for number, axis in zip(each, grid.axes, strict=True) if axis.is_periodic]
        first = next((number for number in phase if number), 0)
        if first < 0 or not any(each):
            continue  # what its negative says too, and the constant
        found.append((WAVE, 0, *each))
        if first:
            found.append((WAVE, 1, *each))
    return found


def wave_frame(factor: Factor, grid: Grid) -> Float[Tensor, "*grid"]:
    """Return the wave that a factor names: the cosine (0) or the sine (1) of 2 pi sum m x / extent.

    Between walls an axis has a factor cos(pi m x / extent) of its own, x from the wall.
    """
    _, is_sine, *numbers = factor
    frame = torch.zeros(grid.shape, dtype=torch.float64)
    walled = torch.ones(grid.shape, dtype=torch.float64)
    for place, (number, axis) in enumerate(zip(numbers, grid.axes, strict=True)):
        shape = [1] * len(grid)
        shape[place] = axis.cells
        if axis.is_periodic:
            frame = frame + (2 * math.pi * number / axis.extent * axis.centres()).reshape(shape)
        else:
            x = axis.centres() - axis.origin
            walled = walled * (math.pi * number / axis.extent * x).cos().reshape(shape)
    return walled * (frame.sin() if is_sine else frame.cos())


def symbols(modes: Modes, on_cells: bool = False) -> dict[str, Complex[Tensor, "*mode"]]:
    """Return the symbol of each derivative, or of the differences between neighbouring cells that stand for it.

    That of the mean is 1 for the constant wave alone.
    """
    places = range(len(modes.shape))
    laplacian = -(modes.stencil() if on_cells else modes.squared()) + 0j
    one = torch.ones_like(laplacian)
    mean = torch.where(laplacian == 0, one, 0)
    found = {"1": one, "mean": mean, "laplacian": laplacian, "bilaplacian": laplacian**2}
    for place in places:
        derivative = (modes.difference if on_cells else modes.derivative)(place).expand(modes.mode_shape)
        found |= {f"d{place}": derivative, f"ddd{place}": derivative**3}
    return found
