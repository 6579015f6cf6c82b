"""A stochastic operator: fresh noise enters its network at every step, and its members' CRPS trains it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.models.initialization import initialize
from ups.models.normalizer import Normalizer
from ups.models.sizes import SpectralLocalSize
from ups.nets.blocks import ConditionEmbedding
from ups.nets.fourier import SpectralLocalNet
from ups.types import Fields, require_periodic_line

State = tuple[Float[Tensor, "batch field cell"], Float[Tensor, "batch param"]]
"""The frame and the parameters, normalized."""

COND_DIM = 16
"""Length of the vector that tells the blocks the parameters and the noise of the whole line."""


class StochasticBaseline(nn.Module):
    """A Stepper that draws the change of a frame: u' = u + change(u, params, noise), noise fresh at every step.

    Noise in channels of its own, next to those of the field, says what happens where: white noise smoothed over
    several widths, since a score of cells does not punish a network that passes on what is rough. A few normal
    numbers for the whole line modulate every block. The network commutes with shifts, and so does the law of its
    forecasts. A field that the data declare as conserved changes by the difference of the network's outputs.
    """

    num_context = 1
    conserved: Tensor
    smoothing: Tensor

    def __init__(self, settings: StochasticOperator, normalizer: Normalizer, fields: Fields) -> None:
        super().__init__()
        self.settings, self.normalizer = settings, normalizer
        self.fields = fields
        (self.num_cells,) = fields.grid.shape
        conserved = [[name in fields.conserved] for name in fields.names]
        self.register_buffer("conserved", torch.tensor(conserved), persistent=False)
        smoothing = _smoothing(settings.noise_channels, settings.noise_widths, self.num_cells)
        self.register_buffer("smoothing", smoothing, persistent=False)
        self.condition = ConditionEmbedding(len(fields.params) + settings.noise_dim, COND_DIM)
        self.network = SpectralLocalNet(
            len(fields.names) + settings.noise_channels,
            len(fields.names),
            *settings.sizes(len(fields.grid)),
            COND_DIM,
        )

    def encode(
        self, context: Float[Tensor, "batch time field cell"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the last frame and the parameters, normalized."""
        return self.normalizer.normalize(context[:, -1]), self.normalizer.normalize_params(params)

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return one draw of the state a step later, independent for each row of the batch.

        Raises:
            ValueError: there is no generator to draw the noise from.
        """
        if generator is None:
            raise ValueError("a stochastic operator draws noise: give a generator")
        frames, params = state
        white = _normal((len(frames), self.settings.noise_channels, self.num_cells), generator).to(frames)
        local = torch.fft.irfft(self.smoothing * torch.fft.rfft(white), n=self.num_cells)
        whole = _normal((len(frames), self.settings.noise_dim), generator).to(frames)
        condition = self.condition(torch.cat([params, whole], dim=1))
        change = self.network(torch.cat([frames, local], dim=1), condition)
        change = torch.where(self.conserved, change.roll(1, dims=-1) - change, change)
        return frames + change, params

    def decode(self, state: State) -> Float[Tensor, "batch field cell"]:
        """Return the frame in physical units."""
        return self.normalizer.denormalize(state[0])

    def manifest(self) -> StochasticManifest:
        """Return everything but the numbers that is needed to build this baseline again."""
        return StochasticManifest(
            fields=self.fields,
            param_ranges=tuple(self.normalizer.param_ranges()),
            baseline=self.settings,
        )


class StochasticOperator(SpectralLocalSize):
    """Spectral and local convolutions of frame and noise, trained by the almost fair CRPS of a few members."""

    kind: Literal["crps_operator"] = "crps_operator"
    noise_channels: PositiveInt = 8
    """Channels of noise along the line."""
    noise_widths: tuple[NonNegativeFloat, ...] = Field(default=(1, 2, 4, 8), min_length=1)
    """Standard deviations, in cells, of the Gaussian kernels that smooth the channels, in turn; 0 leaves one white."""
    noise_dim: PositiveInt = 8
    """Normal numbers drawn for the whole line."""
    num_members: Annotated[int, Field(ge=2, le=16)] = 4
    """Members that the loss compares; 2 to 4 are enough."""
    unroll: tuple[tuple[Annotated[float, Field(ge=0, lt=1)], PositiveInt], ...] = ((0.0, 1), (0.4, 4))
    """Pairs (fraction of the budget, steps) of its training: one step alone leaves its ensembles overconfident."""
    fairness: Annotated[float, Field(ge=0, le=1)] = 0.95
    """1 is the fair CRPS, 0 the one that favors small ensembles with too little spread."""

    def build(self, fields: Fields, normalizer: Normalizer, generator: Generator) -> StochasticBaseline:
        """Return the baseline; untrained, it is persistence.

        Raises:
            UserError: the data do not live on a periodic line, or it has too few cells.
        """
        require_periodic_line(fields.grid, f"baseline {self.kind}")
        self.require(fields.grid.shape, f"baseline {self.kind}", "take fewer modes")
        return initialize(lambda: StochasticBaseline(self, normalizer, fields), generator)


class StochasticManifest(Manifest):
    """From what a stochastic baseline was built."""

    kind: Literal["stochastic"] = "stochastic"
    fields: Fields
    """The data it was trained on."""
    param_ranges: tuple[tuple[float, float], ...]
    """Lowest and highest value of each parameter in training."""
    baseline: StochasticOperator
    """The network."""

    def build(self) -> StochasticBaseline:
        """Return the baseline, its numbers still to be restored."""
        fields = self.fields
        normalizer = Normalizer(len(fields.names), len(fields.params))
        return self.baseline.build(fields, normalizer, torch.Generator())


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _smoothing(num_channels: int, widths: tuple[float, ...], num_cells: int) -> Float[Tensor, "channel mode"]:
    """Return the gain of each mode that makes white noise smooth, and keeps its variance of 1."""
    width = torch.tensor([widths[channel % len(widths)] for channel in range(num_channels)])
    wavenumber = 2 * math.pi * torch.arange(num_cells // 2 + 1) / num_cells
    gain = torch.exp(-0.5 * (width[:, None] * wavenumber).square())
    kernel = torch.fft.irfft(gain, n=num_cells)
    return gain / kernel.norm(dim=1, keepdim=True)
