"""Networks that denoise a residual: its noisy tokens, the state and the forecast in, one number for each out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ups.config import Settings
from ups.diffusion.denoiser import LogSNREmbedding
from ups.models.sizes import AttentionSize, SpectralLocalSize
from ups.nets.blocks import MLP, Modulation, zero_init
from ups.nets.fourier import SpectralLocalNet
from ups.nets.transformer import SwiGLU, TransformerStack
from ups.types import Grid

LEVEL_DIM = 32
"""Features of one logSNR."""

COND_DIM = 32
"""Length of the vector that tells the blocks the noise levels and the parameters."""


class ResidualNet(nn.Module):
    """A body that sees the noisy residual next to what it is the residual of, told the noise levels and parameters.

    Called as a denoiser calls its network: `network(x, logsnr, given, params)`, with a second logSNR before `given`
    in a student, which also sees where its hop ends. `given` holds the state and the forecast, channel after channel.
    """

    def __init__(self, body: nn.Module, num_params: int, num_levels: int) -> None:
        super().__init__()
        self.features = LogSNREmbedding(LEVEL_DIM)
        self.num_levels = num_levels
        self.embed = nn.Linear(num_levels * LEVEL_DIM + num_params, 2 * COND_DIM)
        self.mix = nn.Linear(2 * COND_DIM, COND_DIM)
        self.body = body

    def forward(
        self, x: Float[Tensor, "batch token dim"], *signals: Tensor
    ) -> Float[Tensor, "batch token dim"]:
        """Return the body's output; the signals are one or two logSNRs, `given` and the normalized parameters."""
        *levels, given, params = signals
        known = torch.cat([*map(self.features, levels), params], dim=1)
        condition = self.mix(nn.functional.gelu(self.embed(known)))
        return self.body(torch.cat([x, given], dim=-1), condition)

    @torch.no_grad()
    def inherit(self, teacher: ResidualNet) -> None:
        """Become the teacher, a network of one level, that pays no attention to the second level yet."""
        self.body.load_state_dict(teacher.body.state_dict())
        self.mix.load_state_dict(teacher.mix.state_dict())
        known, new = teacher.embed.weight, LEVEL_DIM * self.num_levels
        self.embed.weight.zero_()
        self.embed.weight[:, :LEVEL_DIM] = known[:, :LEVEL_DIM]
        self.embed.weight[:, new:] = known[:, LEVEL_DIM:]
        self.embed.bias.copy_(teacher.embed.bias)


class TokenMLPNet(nn.Module):
    """Residual layers that see one token alone, the same for all tokens but for a learned position."""

    def __init__(
        self,
        num_tokens: int,
        in_dim: int,
        out_dim: int,
        hidden_dim: int,
        depth: int,
        join: Callable[[Tensor, Tensor], Tensor] = torch.add,
    ) -> None:
        """`join` makes the next features of those before a layer and of what the layer says."""
        super().__init__()
        self.join = join
        self.lift = nn.Linear(in_dim, hidden_dim)
        self.positions = nn.Parameter(0.02 * torch.randn(num_tokens, hidden_dim))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim, elementwise_affine=False) for _ in range(depth))
        self.modulations = nn.ModuleList(Modulation(COND_DIM, hidden_dim) for _ in range(depth))
        self.layers = nn.ModuleList(MLP(hidden_dim, hidden_dim) for _ in range(depth))
        self.head = zero_init(nn.Linear(hidden_dim, out_dim))

    def forward(
        self, x: Float[Tensor, "batch token channel"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the output of every token."""
        x = self.lift(x) + self.positions
        for norm, modulation, layer in zip(self.norms, self.modulations, self.layers, strict=True):
            x = self.join(x, layer(modulation(norm(x), condition)))
        return self.head(x)


def forget(before: Tensor, said: Tensor) -> Tensor:
    """Return what a layer says: nothing passes beside it."""
    return said


class CellNet(nn.Module):
    """`SpectralLocalNet` on tokens that are the cells of a grid."""

    def __init__(self, net: SpectralLocalNet, cells: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.cells = net, cells

    def forward(
        self, x: Float[Tensor, "batch token channel"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the output in every cell."""
        return self.net(x.mT.unflatten(2, self.cells), condition).flatten(2).mT


class AttentionNet(nn.Module):
    """Transformer blocks over tokens with learned positions."""

    def __init__(
        self, stack: TransformerStack, num_tokens: int, in_dim: int, out_dim: int, hidden: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(in_dim, hidden)
        self.positions = nn.Parameter(0.02 * torch.randn(num_tokens, hidden))
        self.stack = stack
        self.head = nn.Sequential(nn.LayerNorm(hidden), zero_init(nn.Linear(hidden, out_dim)))

    def forward(
        self, x: Float[Tensor, "batch token channel"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the output of every token."""
        return self.head(self.stack(self.embed(x) + self.positions, condition))


class BlindNet(nn.Module):
    """A body that is shown the noisy residual alone, and not what it is the residual of."""

    def __init__(self, body: nn.Module, dim: int) -> None:
        super().__init__()
        self.body, self.dim = body, dim

    def forward(
        self, x: Float[Tensor, "batch token channel"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the body's output for the first `dim` channels."""
        return self.body(x[..., : self.dim], condition)


class TokenMLPSize(Settings):
    """The size of a multilayer perceptron on each token by itself."""

    hidden_dim: PositiveInt = 96
    """Width of the layers."""
    depth: PositiveInt = 3
    """Layers."""


class TokenMLP(TokenMLPSize):
    """A multilayer perceptron on each token by itself, of residual layers."""

    kind: Literal["token_mlp"] = "token_mlp"

    def build(self, grid: Grid, in_dim: int, out_dim: int) -> nn.Module:
        """Return the body."""
        return TokenMLPNet(math.prod(grid.shape), in_dim, out_dim, self.hidden_dim, self.depth)


class PlainMLP(TokenMLPSize):
    """The same layers without skip connections: what is lost in one is lost."""

    kind: Literal["plain_mlp"] = "plain_mlp"

    def build(self, grid: Grid, in_dim: int, out_dim: int) -> nn.Module:
        """Return the body."""
        return TokenMLPNet(math.prod(grid.shape), in_dim, out_dim, self.hidden_dim, self.depth, join=forget)


class SpectralLocal(SpectralLocalSize):
    """Spectral and local convolutions along the axes of the tokens."""

    kind: Literal["spectral_local"] = "spectral_local"
    num_blocks: PositiveInt = 5
    """Residual blocks."""

    def build(self, grid: Grid, in_dim: int, out_dim: int) -> nn.Module:
        """Return the body.

        Raises:
            UserError: there are too few tokens for the modes or the kernel.
        """
        self.require(grid.shape, "network.kind=spectral_local", "take fewer modes or kind=transformer")
        net = SpectralLocalNet(in_dim, out_dim, *self.sizes(len(grid)), COND_DIM, grid.walls)
        return CellNet(net, grid.shape)


class Attention(AttentionSize):
    """A small transformer over the tokens, each of which attends to all."""

    kind: Literal["transformer"] = "transformer"
    depth: PositiveInt = 3
    """Blocks."""

    def build(self, grid: Grid, in_dim: int, out_dim: int) -> nn.Module:
        """Return the body."""
        num_tokens = math.prod(grid.shape)
        stack = TransformerStack(
            num_tokens, self.hidden_dim, self.depth, self.num_heads, num_tokens, COND_DIM, SwiGLU
        )
        return AttentionNet(stack, num_tokens, in_dim, out_dim, self.hidden_dim)


class ParametersAlone(Settings):
    """A network that is told noise level and parameters, and sees neither the state nor the forecast."""

    kind: Literal["parameters_alone"] = "parameters_alone"
    network: Annotated[TokenMLP | PlainMLP | SpectralLocal | Attention, Field(discriminator="kind")] = (
        SpectralLocal()
    )
    """The network inside."""

    def build(self, grid: Grid, in_dim: int, out_dim: int) -> nn.Module:
        """Return the body; of its `in_dim` channels the first `out_dim`, the noisy residual, pass."""
        return BlindNet(self.network.build(grid, out_dim, out_dim), out_dim)


NetworkSettings = Annotated[
    TokenMLP | PlainMLP | SpectralLocal | Attention | ParametersAlone, Field(discriminator="kind")
]
