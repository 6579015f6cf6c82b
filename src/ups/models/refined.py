"""A codec whose state is finer than the data: cell averages on a grid that resolves what the samples straddle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from einops import repeat
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ups.config import Settings
from ups.models.points import Points
from ups.solvers.resampling import averages_of, points_of, resample, values_at
from ups.solvers.stepper import GAIN
from ups.types import Fields, require_periodic_line


class RefinedCodec(nn.Module):
    """Tokens are the averages over `factor` times as many cells; decoding samples them at the points of the data.

    Data are samples at the cell centres. A front that is thinner than their distance has a place that one frame
    hardly shows; a finer state keeps it through the rollout, and finds it when it comes from a time at which the
    front was still smooth. So an emulator on this codec reads `spin_up` frames: it encodes the first of them, advances
    through the others, and each of these pulls the state towards itself. Nothing is learned; both ways are fourth order
    where the field is smooth.
    """

    conserved: Tensor

    def __init__(self, settings: Refined, fields: Fields) -> None:
        super().__init__()
        self.settings = settings
        self.spin_up = settings.spin_up
        (self.num_cells,) = fields.grid.shape
        self.num_tokens, self.dim = self.num_cells * settings.factor, len(fields.names)
        self.grid = fields.grid.resized(self.num_tokens)
        self.points = Points(self.grid)
        conserved = torch.tensor([field.conserved for field in fields.each])
        self.register_buffer("conserved", conserved, persistent=False)

    def pulled(
        self, tokens: Float[Tensor, "batch token dim"], frames: Float[Tensor, "batch field cell"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return tokens moved towards frames of their time, by the share `gain` of what differs.

        The integral of a conserved field stays what it was: samples of fronts tell it worse than the first frame did.
        """
        differs = self.encode(frames - self.decode(tokens))
        differs = torch.where(self.conserved, differs - differs.mean(1, keepdim=True), differs)
        return tokens + self.settings.gain * differs

    def encode(self, frames: Float[Tensor, "batch field cell"]) -> Float[Tensor, "batch token dim"]:
        """Return the averages over the finer cells; their mean is that of the samples."""
        fine = resample(averages_of(frames.flatten(0, 1)), self.num_tokens)
        return fine.unflatten(0, frames.shape[:2]).mT

    def decode(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch field cell"]:
        """Return the values at the centres of the data's cells."""
        return self._per_field(tokens, lambda averages: points_of(averages, self.num_cells))

    def decode_at(
        self, tokens: Float[Tensor, "batch token dim"], points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the fields at any points, as precisely as at the centres."""
        positions = (self.points.phase(points) % 1) * self.num_tokens
        positions = repeat(positions, "batch point -> (batch field) point", field=self.dim)
        return self._per_field(tokens, lambda averages: values_at(averages, positions))

    def _per_field(
        self, tokens: Float[Tensor, "batch token dim"], read: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "batch field point"]:
        return read(tokens.mT.flatten(0, 1)).unflatten(0, (len(tokens), self.dim))


class Refined(Settings):
    """Cell averages on a finer grid than the data's: the state holds what lies between the samples."""

    kind: Literal["refined"] = "refined"
    factor: PositiveInt = 2
    """Cells of the state for each cell of the data."""
    spin_up: PositiveInt = Field(default=10, le=100)
    """Frames of a context, at most, that the emulator reads: it encodes the first and advances to the last."""
    gain: float = Field(default=GAIN, ge=0, le=1)
    """Share of the difference by which each later frame pulls the state; 0 reads the first frame alone."""

    def build(self, fields: Fields, generator: Generator) -> RefinedCodec:
        """Return the codec.

        Raises:
            UserError: the data do not live on a periodic line.
        """
        require_periodic_line(fields.grid, "codec.kind=refined")
        return RefinedCodec(self, fields)
