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
from ups.models.waves import flux_counts, rate, require_scalars
from ups.nets.blocks import ConditionEmbedding
from ups.nets.fourier import SpectralLocalNet
from ups.solvers.modes import Modes
from ups.types import Fields

State = tuple[Float[Tensor, "batch field *grid"], Float[Tensor, "batch param"]]
"""The frame and the parameters, normalized."""

COND_DIM = 16
"""Length of the vector that tells the blocks the parameters and the noise of the whole frame."""


class StochasticBaseline(nn.Module):
    """A Stepper that draws the change of a frame: u' = u + change(u, params, noise), noise fresh at every step.

    Noise in channels of its own, next to those of the field, says what happens where: white noise smoothed over
    several widths, since a score of cells does not punish a network that passes on what is rough. A few normal
    numbers for the whole frame modulate every block. Along periodic axes the network commutes with shifts, and so does
    the law of its forecasts. A field that the data declare as conserved changes by the differences of fluxes.
    """

    num_context = 1
    smoothing: Tensor

    def __init__(self, settings: StochasticOperator, normalizer: Normalizer, fields: Fields) -> None:
        super().__init__()
        self.settings, self.normalizer = settings, normalizer
        self.fields = fields
        self.modes, self.walls = Modes(fields.grid), fields.grid.walls
        self.conserved = [field.conserved for field in fields.each]
        smoothing = _smoothing(settings.noise_channels, settings.noise_widths, self.modes)
        self.register_buffer("smoothing", smoothing, persistent=False)
        self.condition = ConditionEmbedding(len(fields.params) + settings.noise_dim, COND_DIM)
        self.network = SpectralLocalNet(
            len(fields.names) + settings.noise_channels,
            sum(flux_counts(self.conserved, len(fields.grid))),
            *settings.sizes(len(fields.grid)),
            COND_DIM,
            self.walls,
        )

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
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
        shape = len(frames), self.settings.noise_channels, *frames.shape[2:]
        local = self.modes.back(self.smoothing * self.modes.forth(_normal(shape, generator).to(frames)))
        whole = _normal((len(frames), self.settings.noise_dim), generator).to(frames)
        condition = self.condition(torch.cat([params, whole], dim=1))
        out = self.network(torch.cat([frames, local], dim=1), condition)
        return frames + rate(out, self.conserved, self.walls), params

    def decode(self, state: State) -> Float[Tensor, "batch field *grid"]:
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
    """Channels of noise over the grid."""
    noise_widths: tuple[NonNegativeFloat, ...] = Field(default=(1, 2, 4, 8), min_length=1)
    """Standard deviations, in cells, of the Gaussian kernels that smooth the channels, in turn; 0 leaves one white."""
    noise_dim: PositiveInt = 8
    """Normal numbers drawn for the whole frame."""
    num_members: Annotated[int, Field(ge=2, le=16)] = 4
    """Members that the loss compares; 2 to 4 are enough."""
    unroll: tuple[tuple[Annotated[float, Field(ge=0, lt=1)], PositiveInt], ...] = ((0.0, 1), (0.4, 4))
    """Pairs (fraction of the budget, steps) of its training: one step alone leaves its ensembles overconfident."""
    fairness: Annotated[float, Field(ge=0, le=1)] = 0.95
    """1 is the fair CRPS, 0 the one that favors small ensembles with too little spread."""

    def build(self, fields: Fields, normalizer: Normalizer, generator: Generator) -> StochasticBaseline:
        """Return the baseline; untrained, it is persistence.

        Raises:
            UserError: an axis is neither periodic nor between walls, a vector meets a wall, or there are too few cells.
        """
        require_scalars(fields, f"baseline {self.kind}")
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


def _smoothing(num_channels: int, widths: tuple[float, ...], modes: Modes) -> Float[Tensor, "channel *mode"]:
    """Return the gain of each mode that makes white noise smooth, and keeps its variance of 1."""
    ones = (1,) * len(modes.shape)
    width = torch.tensor([widths[channel % len(widths)] for channel in range(num_channels)])
    width = width.reshape(-1, *ones)
    exponent = torch.zeros(num_channels, *modes.mode_shape)
    for place, cells in enumerate(modes.shape):
        number = torch.arange(modes.mode_shape[place])
        angle = 2 * math.pi * torch.minimum(number, cells - number) / cells
        exponent = exponent + (width * angle.reshape(-1, *ones[place + 1 :])).square()
    gain = torch.exp(-0.5 * exponent)
    kernel = modes.back_whole(torch.complex(gain, torch.zeros_like(gain))).flatten(1)
    return gain / kernel.norm(dim=1).reshape(-1, *ones)
