"""Operators: one frame ahead in tokens, z' = z + dt * change(z, dt, params), the identity at initialization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ups.models.autoencoder import Codec, IdentityPatches
from ups.models.flux_law import FluxLaw
from ups.models.initialization import initialize
from ups.models.law_network import LawNetwork
from ups.models.law_operator import Law
from ups.models.mean_operator import Mean
from ups.models.normalizer import Normalizer
from ups.models.sizes import AttentionSize, SpectralLocalSize
from ups.models.waves import flux_counts, means_that_move, rate, require_scalars
from ups.nets.blocks import MLP, ConditionEmbedding, zero_init
from ups.nets.fourier import SpectralLocalNet
from ups.nets.transformer import SwiGLU, TransformerStack, TransformerUNet
from ups.progress import Progress
from ups.solvers.modes import Modes
from ups.types import Fields, Grid, Trajectory, UserError, describe_boundaries

COND_DIM = 16
"""Length of the vector that tells the blocks dt and the parameters."""

LEAST_POWER = 1e-6
"""Share of the power of all waves that one has if the data have it; what is below is a thousandth of the deviation."""

PART = 512
"""Frames that pass through a codec at a time."""

FEED_FORWARD = {"gelu": MLP, "swiglu": SwiGLU}


@runtime_checkable
class Operator(Protocol):
    """What an emulator needs of an operator."""

    @property
    def settings(self) -> OperatorSettings:
        """What the operator was built from."""
        ...

    def __call__(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens `dt` later, in units of the training step; `params` are normalized."""
        ...


@runtime_checkable
class Informed(Protocol):
    """An operator that looks at the data before it is trained on them."""

    def start_from(
        self, codec: Codec, train: Trajectory, normalizer: Normalizer, progress: Progress | None = None
    ) -> None:
        """Take what needs no gradient from normalized trajectories and the codec that makes tokens of them."""
        ...


class SpectralOperator(nn.Module):
    """Spectral and local convolutions on the grid of the tokens give the change of those waves that the data have.

    A conserved field changes by the differences of the fluxes through the faces of a cell,
    u' = u - dt sum_axes (f_{i+1/2} - f_{i-1/2}), with one flux an axis and none through a wall: the sum over cells
    changes by round-off alone. Anything else changes by the network's output itself.

    Waves that the training data do not have stay as they are: nothing teaches a network how to answer to them, and
    in a rollout whatever it answers grows without bound.
    """

    band: Tensor

    def __init__(
        self,
        settings: SpectralFlux | SpectralRate,
        grid: Grid,
        dim: int,
        num_params: int,
        conserved: list[bool],
    ) -> None:
        super().__init__()
        self.settings, self.conserved = settings, conserved
        self.modes = Modes(grid)
        self.walls = grid.walls
        self.register_buffer("band", torch.ones(dim, *self.modes.mode_shape))
        self.condition = ConditionEmbedding(1 + num_params, COND_DIM)
        outputs = sum(flux_counts(conserved, len(grid)))
        self.net = SpectralLocalNet(dim, outputs, *settings.sizes(len(self.walls)), COND_DIM, self.walls)
        if (
            all(conserved) and grid.is_periodic
        ):  # a constant flux changes nothing, so there is nothing to learn
            self.net.head[-1].bias.requires_grad_(False)

    @torch.no_grad()
    def start_from(
        self, codec: Codec, train: Trajectory, normalizer: Normalizer, progress: Progress | None = None
    ) -> None:
        """Find the waves that the tokens of normalized trajectories have, along each axis.

        They reach up to the last whose power is `LEAST_POWER` of that of all but the mean.
        """
        parts = train.values.flatten(0, 1).split(PART)
        powers = [
            self.modes.forth(self._on_grid(codec.encode(part).double())).abs().square().sum(0)
            for part in parts
        ]
        self.band.copy_(self.modes.band(torch.stack(powers).sum(0), LEAST_POWER))
        if isinstance(self.settings, SpectralFlux):
            still = ~means_that_move(train.values) & ~torch.tensor(self.conserved, device=train.values.device)
            self.band[(still, *(0,) * len(self.modes.shape))] = 0

    def forward(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens `dt` later, in units of the training step."""
        condition = self.condition(torch.cat([dt[:, None], params], dim=1))
        out = self.net(self._on_grid(z), condition)
        out = out.to(torch.promote_types(out.dtype, torch.float32))  # no fast transform takes fewer digits
        change = self.modes.back(self.band * self.modes.forth(rate(out, self.conserved, self.walls)))
        return z + dt[:, None, None] * change.flatten(2).mT

    def _on_grid(self, z: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch dim *grid"]:
        return z.mT.unflatten(2, self.modes.grid.shape)


class TokenOperator(nn.Module):
    """A transformer over tokens with learned positions gives the rate of change."""

    def __init__(
        self, settings: Transformer | UTransformer, body: nn.Module, codec: Codec, num_params: int
    ) -> None:
        super().__init__()
        self.settings = settings
        hidden = settings.hidden_dim
        self.condition = ConditionEmbedding(1 + num_params, COND_DIM)
        self.embed = nn.Linear(codec.dim, hidden)
        self.positions = nn.Parameter(0.02 * torch.randn(codec.num_tokens, hidden))
        self.body = body
        self.head = nn.Sequential(nn.LayerNorm(hidden), zero_init(nn.Linear(hidden, codec.dim)))

    def forward(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens `dt` later, in units of the training step."""
        condition = self.condition(torch.cat([dt[:, None], params], dim=1))
        rate = self.head(self.body(self.embed(z) + self.positions, condition))
        return z + dt[:, None, None] * rate


class SpectralFlux(SpectralLocalSize):
    """Spectral and local convolutions predict a flux whose difference is the change: exact conservation."""

    kind: Literal["spectral_flux"] = "spectral_flux"

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> SpectralOperator:
        """Return the operator.

        Raises:
            UserError: the codec compresses, an axis is neither periodic nor between walls, or has too few cells.
        """
        if codec.settings != IdentityPatches(patch_size=1):
            raise UserError(
                f"operator.kind=spectral_flux works on the cells themselves, not on '{codec.settings.kind}' tokens: "
                "set codec.kind=identity codec.patch_size=1, or choose operator.kind=spectral_rate"
            )
        require_scalars(fields, "operator.kind=spectral_flux")
        self.require(fields.grid.shape, "operator.kind=spectral_flux", "take fewer modes")
        conserved = [name in fields.conserved for name in fields.names]
        return initialize(
            lambda: SpectralOperator(self, fields.grid, codec.dim, len(fields.params), conserved), generator
        )


class SpectralRate(SpectralLocalSize):
    """Spectral and local convolutions along the tokens of a codec predict their rate of change."""

    kind: Literal["spectral_rate"] = "spectral_rate"
    modes: PositiveInt = 16
    """Fourier modes of the global path; at most half the number of tokens."""

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> SpectralOperator:
        """Return the operator.

        Raises:
            UserError: the tokens have no place, an axis is neither periodic nor between walls, or has too few.
        """
        grid = codec.grid
        if grid is None:
            raise UserError(
                "operator.kind=spectral_rate needs tokens that lie on a grid, those of codec.kind=perceiver do "
                "not: set codec.kind=convolutional, or choose operator.kind=transformer"
            )
        require_scalars(fields, "operator.kind=spectral_rate")
        self.require(grid.shape, "operator.kind=spectral_rate", "take fewer modes")
        return initialize(
            lambda: SpectralOperator(self, grid, codec.dim, len(fields.params), [False] * codec.dim),
            generator,
        )


class TokenTransformer(AttentionSize):
    """The settings that both transformers have."""

    group_size: PositiveInt = 64
    """Tokens that attend to each other at any resolution: the window, moved by half in every second block."""
    feed_forward: Literal["gelu", "swiglu"] = "gelu"
    """Pointwise part of a block."""

    def require_windows(self, num_tokens: int) -> None:
        """See that the windows tile the tokens.

        Raises:
            UserError: they do not.
        """
        if num_tokens > self.group_size and num_tokens % self.group_size:
            raise UserError(
                f"operator.group_size={self.group_size} does not tile {num_tokens} tokens: take a divisor, or "
                f"{num_tokens}"
            )


class Transformer(TokenTransformer):
    """A plain stack of attention blocks over tokens."""

    kind: Literal["transformer"] = "transformer"
    depth: PositiveInt = 4
    """Blocks."""

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> TokenOperator:
        """Return the operator; the data live on a line, and the windows must tile the tokens."""
        _require_line(fields, "operator.kind=transformer")
        self.require_windows(codec.num_tokens)
        return _over_tokens(self, TransformerStack, self.depth, codec, fields, generator)


class UTransformer(TokenTransformer):
    """A U-shape of attention blocks: pairs of tokens merged on the way down, interpolated on the way up."""

    kind: Literal["u_transformer"] = "u_transformer"
    depths: tuple[PositiveInt, ...] = Field(default=(1, 1, 1), min_length=1)
    """Blocks at each resolution, the last at the bottom of the U."""

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> TokenOperator:
        """Return the operator; at each resolution the windows must tile the tokens.

        Raises:
            UserError: the tokens cannot be halved that often.
        """
        _require_line(fields, "operator.kind=u_transformer")
        halvings = len(self.depths) - 1
        if codec.num_tokens % 2**halvings:
            raise UserError(
                f"operator.depths halves the tokens {halvings} times, but the autoencoder makes {codec.num_tokens}: "
                f"use fewer depths or a number of tokens divisible by {2**halvings}"
            )
        for level in range(len(self.depths)):
            self.require_windows(codec.num_tokens // 2**level)
        return _over_tokens(self, TransformerUNet, self.depths, codec, fields, generator)


OperatorSettings = Annotated[
    SpectralFlux | SpectralRate | FluxLaw | Law | LawNetwork | UTransformer | Transformer | Mean,
    Field(discriminator="kind"),
]


def _require_line(fields: Fields, who: str) -> None:
    if len(fields.grid) > 1:
        raise UserError(
            f"{who}: works on a line, the data live on {describe_boundaries(fields.grid)}; choose "
            "operator.kind=spectral_flux"
        )


def _over_tokens(
    settings: Transformer | UTransformer,
    network: Callable[..., nn.Module],
    depth: int | tuple[int, ...],
    codec: Codec,
    fields: Fields,
    generator: Generator,
) -> TokenOperator:
    def make() -> TokenOperator:
        body = network(
            codec.num_tokens,
            settings.hidden_dim,
            depth,
            settings.num_heads,
            settings.group_size,
            COND_DIM,
            FEED_FORWARD[settings.feed_forward],
        )
        return TokenOperator(settings, body, codec, len(fields.params))

    return initialize(make, generator)
