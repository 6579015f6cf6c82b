"""The waves of a grid: Fourier modes along its periodic axes, cosines between walls."""

from __future__ import annotations

import math
from functools import reduce

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ups.types import WALL, Grid, UserError, describe_boundaries

Frame = Float[Tensor, "*batch_and_grid"]
"""Of one field [batch *grid]; several stand before the batch, so that the parameters of its rows broadcast."""

Spectrum = Complex[Tensor, "*batch_and_mode"]


def no_modes(grid: Grid) -> str:
    """Return why no modes keep what holds at the ends of a grid; "" if each axis repeats or lies between two walls."""
    if all(axis.is_periodic or axis.low == axis.high == WALL for axis in grid.axes):
        return ""
    return f"needs axes that are periodic or lie between walls, the data live on {describe_boundaries(grid)}"


def require_modes(grid: Grid, who: str) -> None:
    """See that a grid has modes.

    Raises:
        UserError: it has not.
    """
    if reason := no_modes(grid):
        raise UserError(f"{who}: {reason}")


class Modes:
    """Transforms of real frames, and the symbols of derivatives.

    An axis between walls is doubled by its mirror image, on which the field is periodic and even about each wall:
    what a solver does to the double it does between the walls, to round-off, at twice the cost.

    Raises:
        UserError: an axis is neither periodic nor between walls.
    """

    def __init__(self, grid: Grid) -> None:
        require_modes(grid, "modes")
        self.grid = grid
        self.shape = tuple(axis.cells * (1 if axis.is_periodic else 2) for axis in grid.axes)
        self.mode_shape = (*self.shape[:-1], self.shape[-1] // 2 + 1)
        self._places = tuple(range(-len(grid), 0))
        self._walled = [
            place for place, axis in zip(self._places, grid.axes, strict=True) if not axis.is_periodic
        ]

    def forth(self, frame: Frame) -> Spectrum:
        """Return the spectrum of frames."""
        for place in self._walled:
            frame = torch.cat([frame, frame.flip(place)], place)
        return self.forth_whole(frame)

    def back(self, spectrum: Spectrum) -> Frame:
        """Return the frames of a spectrum."""
        frame = self.back_whole(spectrum)
        for place in self._walled:
            frame = frame.narrow(place, 0, frame.shape[place] // 2)
        return frame

    def forth_whole(self, frame: Frame) -> Spectrum:
        """Return the spectrum of frames on the domain with its mirror images."""
        return torch.fft.rfftn(frame, dim=self._places)

    def back_whole(self, spectrum: Spectrum) -> Frame:
        """Return the frames of a spectrum on the domain with its mirror images."""
        return torch.fft.irfftn(spectrum, s=self.shape, dim=self._places)

    def wavenumbers(self, place: int = 0) -> Float[Tensor, "*mode"]:
        """Return the wavenumbers along an axis, shaped to broadcast over a spectrum."""
        return self._along(place, 2 * math.pi * self._frequencies(place))

    def squared(self) -> Float[Tensor, "*mode"]:
        """Return |k|^2, the symbol of minus the Laplacian."""
        return reduce(torch.add, [self.wavenumbers(place) ** 2 for place in range(len(self.shape))])

    def derivative(self, place: int = 0) -> Complex[Tensor, "*mode"]:
        """Return the symbol of d/dx; zero at the Nyquist mode, whose derivative the grid cannot hold."""
        symbol = 1j * (2 * math.pi * self._frequencies(place))
        if self.shape[place] % 2 == 0:
            symbol[self.shape[place] // 2] = 0
        return self._along(place, symbol)

    def dealiased(self, spectrum: Spectrum, power: int) -> Spectrum:
        """Return the spectrum of u^power from the modes below 2 / (power + 1) of the highest, to those modes.

        Products of these modes alias onto modes that are dropped. Source: Orszag, J. Atmos. Sci. 28 (1971) 1074.
        """
        kept = self.kept(power)
        values = self.back_whole(spectrum * kept)
        return self.forth_whole(values**power) * kept

    def band(self, power: Float[Tensor, "*batch_and_mode"], least: float) -> Bool[Tensor, "*batch_and_mode"]:
        """Return the modes up to the last along each axis with a share `least` of the power of all but the mean.

        The share of a mode number of an axis is that of all modes that have it.
        """
        rest = power.clone()
        rest[(..., *(0,) * len(self.shape))] = 0
        tiny = torch.finfo(power.dtype).tiny
        nothing = 1e-24 * power.sum(self._places, keepdim=True) + tiny  # the round-off of a constant
        whole = torch.maximum(rest.sum(self._places, keepdim=True), nothing)
        kept = torch.ones_like(power, dtype=torch.bool)
        for place in range(len(self.shape)):
            others = tuple(axis for axis in self._places if axis != place - len(self.shape))
            share = (rest.sum(others, keepdim=True) if others else rest) / whole
            number = self._along(place, self._mode_numbers(place)).to(power.device)
            seen = torch.where(share >= least, number, 0).amax(place - len(self.shape), keepdim=True)
            kept &= number <= seen
        return kept

    def difference(self, place: int = 0) -> Complex[Tensor, "*mode"]:
        """Return the symbol of the central difference, i sin(k dx) / dx."""
        spacing = self.grid.axes[place].spacing
        return self._along(place, 1j * torch.sin(2 * math.pi * self._frequencies(place) * spacing) / spacing)

    def stencil(self) -> Float[Tensor, "*mode"]:
        """Return the symbol of minus the Laplacian's second differences, sum (2 - 2 cos k dx) / dx^2."""
        lines = [
            self._along(place, (2 - 2 * torch.cos(2 * math.pi * self._frequencies(place) * axis.spacing)))
            / axis.spacing**2
            for place, axis in enumerate(self.grid.axes)
        ]
        return reduce(torch.add, lines)

    def kept(self, power: int) -> Bool[Tensor, "*mode"]:
        """Return the modes that a product of `power` fields is made of and cut off to; see `dealiased`."""
        places = range(len(self.shape))
        lines = [self._mode_numbers(place) < self.shape[place] / (power + 1) for place in places]
        return reduce(
            torch.logical_and, [self._along(p, line) for p, line in zip(places, lines, strict=True)]
        )

    def _mode_numbers(self, place: int) -> Tensor:
        cells = self.shape[place]
        if place == len(self.shape) - 1:
            return torch.arange(cells // 2 + 1)
        number = torch.arange(cells)
        return torch.minimum(number, cells - number)

    def _frequencies(self, place: int) -> Float[Tensor, " mode"]:
        frequencies = torch.fft.rfftfreq if place == len(self.shape) - 1 else torch.fft.fftfreq
        axis = self.grid.axes[place]
        return frequencies(self.shape[place], axis.extent / axis.cells, dtype=torch.float64)

    def _along(self, place: int, line: Tensor) -> Tensor:
        return line.reshape(-1, *(1,) * (len(self.shape) - 1 - place))
