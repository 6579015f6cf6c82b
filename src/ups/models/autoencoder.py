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
from ups.models.grid import Grid
from ups.models.initialization import initialize
from ups.models.refined import Refined
from ups.models.sizes import AttentionSize
from ups.nets.conv import ConvDecoder, ConvEncoder
from ups.nets.perceiver import PerceiverDecoder, PerceiverEncoder
from ups.types import Fields, UserError


@runtime_checkable
class Codec(Protocol):
    """What an operator and an emulator need of an autoencoder."""

    num_tokens: int
    dim: int
    spin_up: int
    """Frames of a context, at most, that make the state: it is advanced from the first; 1 reads the last alone."""

    @property
    def settings(self) -> AutoencoderSettings:
        """What the codec was built from."""
        ...

    def encode(self, frames: Float[Tensor, "batch field cell"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens of normalized frames."""
        ...

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field cell"]:
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

    def __init__(self, settings: IdentityPatches, fields: Fields, num_cells: int) -> None:
        super().__init__()
        self.settings = settings
        self.num_fields = len(fields.names)
        self.num_tokens = num_cells // settings.patch_size
        self.dim = settings.patch_size * self.num_fields
        self.grid = Grid(fields, num_cells)

    def encode(self, frames: Float[Tensor, "batch field cell"]) -> Float[Tensor, "batch token dim"]:
        """Return the patches, left to right."""
        return rearrange(frames, "b field (token cell) -> b token (field cell)", token=self.num_tokens)

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field cell"]:
        """Return the frames that have these patches."""
        return rearrange(tokens, "b token (field cell) -> b field (token cell)", field=self.num_fields)

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the fields at any points: the periodic cubic through the decoded frame."""
        return self.grid.interpolate(self.decode(tokens), points)


class ConvCodec(nn.Module):
    """A linear map of patches plus a strided convolutional correction, both ways.

    At initialization the correction is zero and the linear map keeps the `dim` smoothest orthonormal cosines of
    each patch: the identity where `dim` is at least the numbers in a patch, else the best smooth projection.
    """

    spin_up = 1

    def __init__(self, settings: Convolutional, fields: Fields, num_cells: int) -> None:
        super().__init__()
        self.settings = settings
        num_fields, patch = len(fields.names), 2**settings.num_levels
        self.patches = PatchCodec(IdentityPatches(patch_size=patch), fields, num_cells)
        self.num_tokens, self.dim = self.patches.num_tokens, settings.dim
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
        return self.patches.grid.interpolate(self.decode(tokens), points)


class PerceiverCodec(nn.Module):
    """A few tokens for the whole line, decoded at any point by attention."""

    spin_up = 1

    def __init__(self, settings: Perceiver, fields: Fields, num_cells: int) -> None:
        super().__init__()
        self.settings = settings
        self.num_tokens, self.dim = settings.num_tokens, settings.dim
        self.grid = Grid(fields, num_cells)
        sizes = (settings.hidden_dim, settings.num_heads, settings.depth, settings.num_frequencies)
        num_fields = len(fields.names)
        self.encoder = PerceiverEncoder(num_fields, settings.num_tokens, settings.dim, *sizes)
        self.decoder = PerceiverDecoder(settings.num_tokens, settings.dim, num_fields, *sizes)

    def encode(self, frames: Float[Tensor, "batch field cell"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens of frames."""
        return self.encoder(frames, self.grid.centres)

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field cell"]:
        """Return the fields at the cell centres."""
        return self.decoder(tokens, self.grid.centres.expand(tokens.shape[0], -1))

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the fields at any points; the line is periodic by its features."""
        return self.decoder(tokens, self.grid.phase(points))


def smooth_basis(num_fields: int, patch_size: int, dim: int) -> Float[Tensor, "dim number"]:
    """Return `dim` orthonormal rows over a patch of all fields: cosines, the smoothest of every field first.

    sqrt(2 / n) cos(pi k (i + 1/2) / n), halved in power for k = 0 (the DCT-II). Rows beyond the numbers in a patch
    are zero.
    """
    k, i = torch.arange(patch_size)[:, None], torch.arange(patch_size)
    cosines = math.sqrt(2 / patch_size) * torch.cos(math.pi * k * (i + 0.5) / patch_size)
    cosines[0] /= math.sqrt(2)
    rows = torch.einsum("ki,fg->kfgi", cosines, torch.eye(num_fields)).reshape(num_fields * patch_size, -1)
    basis = torch.zeros(dim, num_fields * patch_size)
    kept = min(dim, num_fields * patch_size)
    basis[:kept] = rows[:kept]
    return basis


class IdentityPatches(Settings):
    """No compression: tokens are patches of cells, and the operator works on the frame itself."""

    kind: Literal["identity"] = "identity"
    patch_size: PositiveInt = 1
    """Cells in a token; divides the number of cells."""

    def build(self, fields: Fields, num_cells: int, generator: Generator) -> PatchCodec:
        """Return the codec.

        Raises:
            UserError: the patches do not tile the line.
        """
        _require_multiple(num_cells, self.patch_size, "codec.patch_size")
        return PatchCodec(self, fields, num_cells)


class Convolutional(Settings):
    """A strided residual autoencoder: one token of `dim` numbers for each 2^num_levels cells."""

    kind: Literal["convolutional"] = "convolutional"
    num_levels: PositiveInt = 3
    """Halvings of the resolution."""
    dim: PositiveInt = 4
    """Numbers in a token."""
    width: PositiveInt = 32
    """Channels of the convolutions."""

    def build(self, fields: Fields, num_cells: int, generator: Generator) -> ConvCodec:
        """Return the codec.

        Raises:
            UserError: the line cannot be halved that often.
        """
        _require_multiple(num_cells, 2**self.num_levels, "2^codec.num_levels")
        return initialize(lambda: ConvCodec(self, fields, num_cells), generator)


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

    def build(self, fields: Fields, num_cells: int, generator: Generator) -> PerceiverCodec:
        """Return the codec."""
        return initialize(lambda: PerceiverCodec(self, fields, num_cells), generator)


AutoencoderSettings = Annotated[
    IdentityPatches | Refined | Convolutional | Perceiver, Field(discriminator="kind")
]


def _require_multiple(num_cells: int, divisor: int, name: str) -> None:
    if num_cells % divisor:
        raise UserError(f"setting '{name}': {divisor} does not divide the {num_cells} cells of the data")
