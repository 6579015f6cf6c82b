"""Codecs between frames and tokens, in normalized units: patches without loss, strided convolutions, a Perceiver."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ups.config import Settings
from ups.models.initialization import initialize
from ups.models.points import Points
from ups.models.refined import Refined
from ups.models.sizes import AttentionSize
from ups.nets.conv import ConvDecoder, ConvEncoder
from ups.nets.perceiver import PerceiverDecoder, PerceiverEncoder
from ups.types import Fields, Grid, UserError, require_periodic_line


@runtime_checkable
class Codec(Protocol):
    """What an operator and an emulator need of an autoencoder."""

    num_tokens: int
    dim: int
    spin_up: int
    """Frames of a context, at most, that make the state: it is advanced from the first; 1 reads the last alone."""

    @property
    def grid(self) -> Grid | None:
        """Where the tokens live, one in each cell, the last axis fastest; None where they have no place."""
        ...

    @property
    def settings(self) -> AutoencoderSettings:
        """What the codec was built from."""
        ...

    def encode(self, frames: Float[Tensor, "batch field *grid"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens of normalized frames."""
        ...

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field *grid"]:
        """Return the normalized frames of tokens."""
        ...

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the normalized fields at points in the coordinate of the domain."""
        ...


class PatchCodec(nn.Module):
    """Tokens are patches of neighbouring cells, all fields together; nothing is learned or lost."""

    spin_up = 1

    def __init__(self, settings: IdentityPatches, fields: Fields) -> None:
        super().__init__()
        self.settings, self.cells = settings, fields.grid
        self.grid = fields.grid.resized(*(cells // settings.patch_size for cells in fields.grid.shape))
        self.num_fields = len(fields.names)
        self.num_tokens = math.prod(self.grid.shape)
        self.dim = settings.patch_size ** len(fields.grid) * self.num_fields
        tokens, places = ([f"{word}{axis}" for axis in range(len(fields.grid))] for word in ("token", "cell"))
        joined = " ".join(f"({token} {place})" for token, place in zip(tokens, places, strict=True))
        self._frame = f"b field {joined}"
        self._tokens = f"b ({' '.join(tokens)}) (field {' '.join(places)})"
        self._sizes = dict(zip(tokens, self.grid.shape, strict=True)) | dict.fromkeys(
            places, settings.patch_size
        )

    def encode(self, frames: Float[Tensor, "batch field *grid"]) -> Float[Tensor, "batch token dim"]:
        """Return the patches, the last axis fastest."""
        return rearrange(frames, f"{self._frame} -> {self._tokens}", **self._sizes)

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field *grid"]:
        """Return the frames that have these patches."""
        return rearrange(tokens, f"{self._tokens} -> {self._frame}", **self._sizes)

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the fields at any points: the periodic cubic through the decoded frame.

        Raises:
            UserError: the cells do not lie on a periodic line.
        """
        require_periodic_line(self.cells, "values between the cells")
        return Points(self.cells).to(points.device).interpolate(self.decode(tokens), points)


class ConvCodec(nn.Module):
    """A linear map of patches plus a strided convolutional correction, both ways.

    At initialization the correction is zero and the linear map keeps the `dim` smoothest orthonormal cosines of
    each patch: the identity where `dim` is at least the numbers in a patch, else the best smooth projection.
    """

    spin_up = 1

    def __init__(self, settings: Convolutional, fields: Fields) -> None:
        super().__init__()
        self.settings = settings
        num_fields, patch = len(fields.names), 2**settings.num_levels
        self.patches = PatchCodec(IdentityPatches(patch_size=patch), fields)
        self.grid, self.num_tokens, self.dim = self.patches.grid, self.patches.num_tokens, settings.dim
        basis = smooth_basis(num_fields, patch, settings.dim)
        self.analysis = nn.Linear(num_fields * patch, settings.dim, bias=False)
        self.synthesis = nn.Linear(settings.dim, num_fields * patch, bias=False)
        with torch.no_grad():
            self.analysis.weight.copy_(basis)
            self.synthesis.weight.copy_(basis.T)
        self.encoder = ConvEncoder(num_fields, settings.dim, settings.width, settings.num_levels)
        self.decoder = ConvDecoder(settings.dim, num_fields, settings.width, settings.num_levels)

    def encode(self, frames: Float[Tensor, "batch field cell"]) -> Float[Tensor, "batch token dim"]:
        """Return one token for each 2^num_levels cells, left to right."""
        return self.analysis(self.patches.encode(frames)) + self.encoder(frames)

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field cell"]:
        """Return the frames of tokens."""
        return self.patches.decode(self.synthesis(tokens)) + self.decoder(tokens)

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the fields at any points: the periodic cubic through the decoded frame."""
        return Points(self.patches.cells).to(points.device).interpolate(self.decode(tokens), points)


class PerceiverCodec(nn.Module):
    """A few tokens for the whole line, decoded at any point by attention."""

    spin_up, grid = 1, None

    def __init__(self, settings: Perceiver, fields: Fields) -> None:
        super().__init__()
        self.settings = settings
        self.num_tokens, self.dim = settings.num_tokens, settings.dim
        self.points = Points(fields.grid)
        sizes = (settings.hidden_dim, settings.num_heads, settings.depth, settings.num_frequencies)
        num_fields = len(fields.names)
        self.encoder = PerceiverEncoder(num_fields, settings.num_tokens, settings.dim, *sizes)
        self.decoder = PerceiverDecoder(settings.num_tokens, settings.dim, num_fields, *sizes)

    def encode(self, frames: Float[Tensor, "batch field cell"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens of frames."""
        return self.encoder(frames, self.points.centres)

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field cell"]:
        """Return the fields at the cell centres."""
        return self.decoder(tokens, self.points.centres.expand(tokens.shape[0], -1))

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the fields at any points; the line is periodic by its features."""
        return self.decoder(tokens, self.points.phase(points))


def orthonormal_cosines(num: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "mode cell"]:
    """Return the orthonormal cosines of so many cells, the smoothest first: the DCT-II.

    sqrt(2 / n) cos(pi k (i + 1/2) / n), halved in power for k = 0.
    """
    k, i = torch.arange(num, dtype=dtype)[:, None], torch.arange(num, dtype=dtype)
    cosines = math.sqrt(2 / num) * torch.cos(math.pi * k * (i + 0.5) / num)
    cosines[0] /= math.sqrt(2)
    return cosines


def smooth_basis(num_fields: int, patch_size: int, dim: int) -> Float[Tensor, "dim number"]:
    """Return `dim` orthonormal rows over a patch of all fields: cosines, the smoothest of every field first.

    Rows beyond the numbers in a patch are zero.
    """
    cosines = orthonormal_cosines(patch_size)
    rows = torch.einsum("ki,fg->kfgi", cosines, torch.eye(num_fields)).reshape(num_fields * patch_size, -1)
    basis = torch.zeros(dim, num_fields * patch_size)
    kept = min(dim, num_fields * patch_size)
    basis[:kept] = rows[:kept]
    return basis


class IdentityPatches(Settings):
    """No compression: tokens are patches of cells, and the operator works on the frame itself."""

    kind: Literal["identity"] = "identity"
    patch_size: PositiveInt = 1
    """Cells in a token, along each axis; divides their number."""

    def build(self, fields: Fields, generator: Generator) -> PatchCodec:
        """Return the codec.

        Raises:
            UserError: the patches do not tile the grid.
        """
        _require_multiple(fields.grid, self.patch_size, "codec.patch_size")
        return PatchCodec(self, fields)


class Convolutional(Settings):
    """A strided residual autoencoder: one token of `dim` numbers for each 2^num_levels cells."""

    kind: Literal["convolutional"] = "convolutional"
    num_levels: PositiveInt = 3
    """Halvings of the resolution."""
    dim: PositiveInt = 4
    """Numbers in a token."""
    width: PositiveInt = 32
    """Channels of the convolutions."""

    def build(self, fields: Fields, generator: Generator) -> ConvCodec:
        """Return the codec.

        Raises:
            UserError: the data do not live on a periodic line, or it cannot be halved that often.
        """
        require_periodic_line(fields.grid, "codec.kind=convolutional")
        _require_multiple(fields.grid, 2**self.num_levels, "2^codec.num_levels")
        return initialize(lambda: ConvCodec(self, fields), generator)


class Perceiver(AttentionSize):
    """An autoencoder by attention: the whole line as `num_tokens` tokens, decoded at any point."""

    kind: Literal["perceiver"] = "perceiver"
    num_tokens: PositiveInt = 16
    """Tokens of a frame."""
    dim: PositiveInt = 16
    """Numbers in a token."""
    hidden_dim: PositiveInt = 64
    """Width of the attention layers; a multiple of num_heads."""
    num_heads: PositiveInt = 4
    """Attention heads."""
    depth: PositiveInt = 2
    """Self-attention blocks of the tokens, in the encoder and in the decoder."""
    num_frequencies: PositiveInt = 32
    """Harmonics of the domain by which a position is known; the decoder can be about that sharp."""

    def build(self, fields: Fields, generator: Generator) -> PerceiverCodec:
        """Return the codec.

        Raises:
            UserError: the data do not live on a periodic line.
        """
        require_periodic_line(fields.grid, "codec.kind=perceiver")
        return initialize(lambda: PerceiverCodec(self, fields), generator)


AutoencoderSettings = Annotated[
    IdentityPatches | Refined | Convolutional | Perceiver, Field(discriminator="kind")
]


def _require_multiple(grid: Grid, divisor: int, name: str) -> None:
    if any(cells % divisor for cells in grid.shape):
        raise UserError(f"setting '{name}': {divisor} does not divide the {grid} cells of the data")
