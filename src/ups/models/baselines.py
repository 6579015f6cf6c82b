"""The rungs to beat: persistence, PDEBench's FNO as published, and tuned networks that predict the change."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.config import Settings
from ups.models.initialization import initialize
from ups.models.normalizer import Normalizer
from ups.models.waves import require_scalars
from ups.nets import conv, fourier, unet
from ups.nets.blocks import zero_init
from ups.solvers.modes import require_modes
from ups.types import Fields, UserError, describe_boundaries

LONGEST_DILATION = 8
"""Cells of the dilated network's widest step, which an axis has to hold."""

State = tuple[Float[Tensor, "batch recent field *grid"], Float[Tensor, "batch param"]]
"""The last `num_context` frames and the parameters, in the units of the network."""


class Persistence:
    """Nothing changes: the trivial predictor that every other rung must beat."""

    num_context = 1

    def encode(
        self, context: Float[Tensor, "batch time field *space"], params: Float[Tensor, "batch param"]
    ) -> Float[Tensor, "batch field *space"]:
        """Return the last frame."""
        return context[:, -1]

    def advance(
        self, state: Float[Tensor, "batch field *space"], generator: Generator | None = None
    ) -> Float[Tensor, "batch field *space"]:
        """Return the same frame."""
        return state

    def decode(self, state: Float[Tensor, "batch field *space"]) -> Float[Tensor, "batch field *space"]:
        """Return the frame."""
        return state

    def manifest(self) -> PersistenceManifest:
        """Return its kind, which is all that there is."""
        return PersistenceManifest()


class PersistenceManifest(Manifest):
    """Persistence has neither settings nor numbers."""

    kind: Literal["persistence"] = "persistence"

    def build(self) -> Persistence:
        """Return the stepper."""
        return Persistence()


class StateBaseline(nn.Module):
    """A network that maps the last frames and the grid to the next frame, all in physical units.

    As PDEBench trains its FNO (arXiv:2210.07182): no normalization, no parameters of the equation.
    """

    grid: Tensor

    def __init__(
        self,
        settings: PDEBenchFNO,
        network: nn.Module,
        normalizer: Normalizer,
        fields: Fields,
    ) -> None:
        super().__init__()
        self.settings, self.network, self.normalizer = settings, network, normalizer
        self.fields, self.num_context = fields, settings.num_context
        (axis,) = fields.grid.axes
        grid = axis.origin + (torch.arange(axis.cells) + 0.5) * axis.spacing
        self.register_buffer("grid", grid, persistent=False)

    def encode(
        self, context: Float[Tensor, "batch time field cell"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the last frames as they are."""
        return context[:, -self.num_context :], params

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return the frames one step later."""
        frames, params = state
        grid = repeat(self.grid, "cell -> batch 1 cell", batch=frames.shape[0])
        channels = rearrange(frames, "batch time field cell -> batch (time field) cell")
        return _push(frames, self.network(torch.cat([channels, grid], dim=1))), params

    def decode(self, state: State) -> Float[Tensor, "batch field cell"]:
        """Return the last frame."""
        return state[0][:, -1]

    def manifest(self) -> BaselineManifest:
        """Return everything but the numbers that is needed to build this baseline again."""
        return _manifest(self)


class ChangeBaseline(nn.Module):
    """A network that maps the last normalized frames and the parameters to the change of the last one."""

    def __init__(
        self,
        settings: TunedFNO | DilatedResNet | UNet,
        network: nn.Module,
        normalizer: Normalizer,
        fields: Fields,
    ) -> None:
        super().__init__()
        self.settings, self.network, self.normalizer = settings, network, normalizer
        self.fields, self.num_context = fields, settings.num_context

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the last frames and the parameters, normalized."""
        recent = context[:, -self.num_context :]
        frames = self.normalizer.normalize(recent.flatten(0, 1)).unflatten(0, recent.shape[:2])
        return frames, self.normalizer.normalize_params(params)

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return the frames one step later."""
        frames, params = state
        channels, grid = frames.flatten(1, 2), frames.shape[3:]
        constants = params.reshape(*params.shape, *(1,) * len(grid)).expand(-1, -1, *grid)
        change = self.network(torch.cat([channels, constants], dim=1))
        return _push(frames, frames[:, -1] + change), params

    def decode(self, state: State) -> Float[Tensor, "batch field *grid"]:
        """Return the last frame in physical units."""
        return self.normalizer.denormalize(state[0][:, -1])

    def manifest(self) -> BaselineManifest:
        """Return everything but the numbers that is needed to build this baseline again."""
        return _manifest(self)


class PDEBenchFNO(Settings):
    """PDEBench's 1D FNO exactly: 12 modes, width 20, four layers, ten frames and the grid in, the next frame out."""

    kind: Literal["pdebench_fno"] = "pdebench_fno"
    num_context: Literal[10] = 10
    """Frames that the network sees."""

    def build(self, fields: Fields, normalizer: Normalizer, generator: Generator) -> StateBaseline:
        """Return the baseline; the normalizer only travels along, for the ranges of the parameters.

        Raises:
            UserError: the data do not live on a line.
        """
        if len(fields.grid) > 1:
            raise UserError(
                f"baseline {self.kind}: works on a line, the data live on {describe_boundaries(fields.grid)}; leave "
                "it out"
            )
        num_fields = len(fields.names)
        in_channels = self.num_context * num_fields + 1
        network = initialize(
            lambda: fourier.FNO(in_channels, num_fields, width=20, modes=12, padding=2), generator
        )
        return StateBaseline(self, network, normalizer, fields)


class TunedFNO(Settings):
    """An FNO with more modes that predicts the change of normalized frames."""

    kind: Literal["tuned_fno"] = "tuned_fno"
    num_context: PositiveInt = 10
    """Frames that the network sees."""
    width: PositiveInt = 32
    """Channels."""
    modes: PositiveInt = 32
    """Fourier modes along each axis; at most half the number of its cells."""

    def build(self, fields: Fields, normalizer: Normalizer, generator: Generator) -> ChangeBaseline:
        """Return the baseline.

        Raises:
            UserError: an axis is neither periodic nor between walls, or has too few cells for the modes.
        """
        require_modes(fields.grid, f"baseline {self.kind}")
        if min(fields.grid.shape) < 2 * self.modes:
            raise UserError(
                f"baseline {self.kind}: modes={self.modes} needs {2 * self.modes} cells; the data have {fields.grid}"
            )
        channels = _channels(self.num_context, fields)
        network = initialize(
            lambda: fourier.FNO(*channels, width=self.width, modes=self.modes, walls=fields.grid.walls),
            generator,
        )
        zero_init(network.head[-1])
        return ChangeBaseline(self, network, normalizer, fields)


class DilatedResNet(Settings):
    """A dilated residual network that predicts the change of normalized frames."""

    kind: Literal["dilated_resnet"] = "dilated_resnet"
    num_context: PositiveInt = 1
    """Frames that the network sees."""
    width: PositiveInt = 48
    """Channels."""
    num_blocks: PositiveInt = 4
    """Residual blocks of seven convolutions each."""

    def build(self, fields: Fields, normalizer: Normalizer, generator: Generator) -> ChangeBaseline:
        """Return the baseline.

        Raises:
            UserError: an axis is neither periodic nor between walls, or shorter than the largest dilation.
        """
        require_scalars(fields, f"baseline {self.kind}")
        if min(fields.grid.shape) < LONGEST_DILATION:
            raise UserError(
                f"baseline {self.kind}: needs {LONGEST_DILATION} cells an axis, not {fields.grid}"
            )
        channels = _channels(self.num_context, fields)
        width, blocks, walls = self.width, self.num_blocks, fields.grid.walls
        network = initialize(
            lambda: conv.DilatedResNet(*channels, width=width, num_blocks=blocks, walls=walls), generator
        )
        return ChangeBaseline(self, network, normalizer, fields)


class UNet(Settings):
    """A U-Net that predicts the change of normalized frames."""

    kind: Literal["unet"] = "unet"
    num_context: PositiveInt = 1
    """Frames that the network sees."""
    width: PositiveInt = 16
    """Channels at full resolution."""
    multipliers: tuple[PositiveInt, ...] = Field(default=(1, 2, 4, 8), min_length=2)
    """Channels at each resolution in units of the width; each resolution is half the one before."""

    def build(self, fields: Fields, normalizer: Normalizer, generator: Generator) -> ChangeBaseline:
        """Return the baseline.

        Raises:
            UserError: an axis is neither periodic nor between walls, or cannot be halved that often.
        """
        require_scalars(fields, f"baseline {self.kind}")
        divisor = 2 ** (len(self.multipliers) - 1)
        if any(cells % divisor for cells in fields.grid.shape):
            raise UserError(
                f"baseline {self.kind}: {divisor} does not divide the {fields.grid} cells; use fewer multipliers"
            )
        channels = _channels(self.num_context, fields)
        network = initialize(
            lambda: unet.UNet(*channels, self.width, self.multipliers, fields.grid.walls), generator
        )
        return ChangeBaseline(self, network, normalizer, fields)


BaselineSettings = Annotated[PDEBenchFNO | TunedFNO | DilatedResNet | UNet, Field(discriminator="kind")]


class BaselineManifest(Manifest):
    """From what a baseline was built."""

    kind: Literal["baseline"] = "baseline"
    fields: Fields
    """The data it was trained on."""
    param_ranges: tuple[tuple[float, float], ...]
    """Lowest and highest value of each parameter in training."""
    baseline: BaselineSettings
    """The network."""

    def build(self) -> StateBaseline | ChangeBaseline:
        """Return the baseline, its numbers still to be restored."""
        fields = self.fields
        normalizer = Normalizer(len(fields.names), len(fields.params))
        return self.baseline.build(fields, normalizer, torch.Generator())


def _channels(num_context: int, fields: Fields) -> tuple[int, int]:
    return num_context * len(fields.names) + len(fields.params), len(fields.names)


def _push(
    frames: Float[Tensor, "batch time field *grid"], frame: Float[Tensor, "batch field *grid"]
) -> Float[Tensor, "batch time field *grid"]:
    return torch.cat([frames[:, 1:], frame[:, None]], dim=1)


def _manifest(baseline: StateBaseline | ChangeBaseline) -> BaselineManifest:
    return BaselineManifest(
        fields=baseline.fields,
        param_ranges=tuple(baseline.normalizer.param_ranges()),
        baseline=baseline.settings,
    )
