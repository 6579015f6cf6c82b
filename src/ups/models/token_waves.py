"""The waves of tokens on a grid: an orthonormal transform, by which residuals have a spectrum in any dimension."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ups.models.autoencoder import Codec, orthonormal_cosines
from ups.types import Grid, line


def lattice(codec: Codec) -> Grid:
    """Return the grid that a codec's tokens lie on; those that have no place are taken for a periodic line."""
    return line(codec.num_tokens) if codec.grid is None else codec.grid


class TokenWaves:
    """Fourier modes along the periodic axes of a grid, cosines along those that end; both keep the sum of squares.

    Tokens are [batch token dim] with the last axis of the grid fastest, modes [batch *mode dim]. They are complex if
    an axis is periodic; then the last of these has the modes 0 to N // 2 alone, of which most stand for -k too.
    """

    def __init__(self, grid: Grid) -> None:
        self.shape = grid.shape
        self._repeating = tuple(1 + place for place, walled in enumerate(grid.walls) if not walled)
        self._ending = tuple(1 + place for place, walled in enumerate(grid.walls) if walled)

    @property
    def mode_shape(self) -> tuple[int, ...]:
        """Modes along each axis."""
        last = self._repeating[-1] if self._repeating else None
        return tuple(n // 2 + 1 if place == last else n for place, n in enumerate(self.shape, start=1))

    def forth(self, tokens: Float[Tensor, "batch token dim"]) -> Shaped[Tensor, "batch *mode dim"]:
        """Return the modes of tokens."""
        x = tokens.unflatten(1, self.shape)
        for place in self._ending:
            x = _along(x, place, _cosines(self.shape[place - 1], x.dtype, x.device))
        return torch.fft.rfftn(x, dim=self._repeating, norm="ortho") if self._repeating else x

    def back(self, modes: Shaped[Tensor, "batch *mode dim"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens of modes."""
        if self._repeating:
            cells = [self.shape[place - 1] for place in self._repeating]
            modes = torch.fft.irfftn(modes, s=cells, dim=self._repeating, norm="ortho")
        for place in self._ending:
            modes = _along(modes, place, _cosines(self.shape[place - 1], modes.dtype, modes.device).T)
        return modes.flatten(1, -2)

    def shares(self) -> Float[Tensor, "*mode 1"]:
        """Return the share of each mode in the mean over all; that of one which stands for -k too counts twice."""
        counts = torch.ones(self.mode_shape)
        if self._repeating:
            last = self._repeating[-1] - 1
            mode, cells = torch.arange(self.mode_shape[last]), self.shape[last]
            twice = (mode > 0) & (2 * mode < cells)
            counts = counts + twice.reshape(-1, *(1,) * (len(self.shape) - 1 - last))
        return (counts / math.prod(self.shape))[..., None]


def mode_powers(
    tokens: Float[Tensor, "sample token dim"], waves: TokenWaves
) -> Float[Tensor, "sample *mode dim"]:
    """Return the power of each mode, for each sample and channel, in float64; its unit is that of tokens squared.

    On a periodic line |r_k|^2 with r_k = sum_j r_j exp(-2 pi i j k / N) / sqrt(N), k = 0 ... N // 2. About zero, not
    about a mean: white noise of variance v has the mean power v at every mode, a constant c has N c^2 at the first
    and no other.
    """
    return waves.forth(tokens.double()).abs().square()


def _along(x: Tensor, place: int, matrix: Float[Tensor, "out cell"]) -> Tensor:
    return (x.movedim(place, -1) @ matrix.T).movedim(-1, place)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is cached in inference mode could not be used in training
def _cosines(num_cells: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "mode cell"]:
    return orthonormal_cosines(num_cells, torch.float64).to(device, dtype)
