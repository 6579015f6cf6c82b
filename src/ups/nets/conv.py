"""Convolutions on a grid, residual blocks, a dilated network; on a periodic line a strided encoder and its decoder."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ups.nets.blocks import Conv1d, zero_init
from ups.nets.extend import Extend

CONVOLUTIONS = (Conv1d, nn.Conv2d, nn.Conv3d)
"""By the number of axes, from one on."""


def circular_conv(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> Conv1d:
    """Return a convolution that wraps around and keeps the number of cells; `kernel_size` is odd."""
    return Conv1d(
        in_channels,
        out_channels,
        kernel_size,
        padding=dilation * (kernel_size - 1) // 2,
        dilation=dilation,
        padding_mode="circular",
    )


def local_conv(
    in_channels: int, out_channels: int, kernel_size: int, walls: Sequence[bool], dilation: int = 1
) -> nn.Module:
    """Return a convolution that keeps the number of cells on a grid whose axes repeat or lie between walls.

    `walls` says which: one entry an axis. `kernel_size` is odd.
    """
    if tuple(walls) == (False,):
        return circular_conv(in_channels, out_channels, kernel_size, dilation)
    convolution = CONVOLUTIONS[len(walls) - 1](in_channels, out_channels, kernel_size, dilation=dilation)
    return nn.Sequential(Extend(dilation * (kernel_size // 2), walls), convolution)


class ResidualBlock(nn.Module):
    """x -> skip(x) + conv(GELU(conv(GELU(x)))), two convolutions of width 3 on a grid; `walls` as in `local_conv`.

    No normalization layer: the amplitude of a field is information, the speed of a wave for one.
    """

    def __init__(self, in_channels: int, out_channels: int, walls: Sequence[bool] = (False,)) -> None:
        super().__init__()
        pointwise = CONVOLUTIONS[len(walls) - 1]
        self.skip = nn.Identity() if in_channels == out_channels else pointwise(in_channels, out_channels, 1)
        self.body = nn.Sequential(
            nn.GELU(),
            local_conv(in_channels, out_channels, 3, walls),
            nn.GELU(),
            local_conv(out_channels, out_channels, 3, walls),
        )

    def forward(self, x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch other *grid"]:
        """Return the block's output on the same cells."""
        return self.skip(x) + self.body(x)


class DilatedBlock(nn.Sequential):
    """Convolutions of width 3 and growing, then shrinking dilation, each followed by a GELU."""

    def __init__(self, width: int, dilations: Sequence[int], walls: Sequence[bool] = (False,)) -> None:
        super().__init__()
        for dilation in dilations:
            self.append(local_conv(width, width, 3, walls, dilation))
            self.append(nn.GELU())


class DilatedResNet(nn.Module):
    """The dilated residual network of Stachenfeld et al. (arXiv:2112.15275): lift, residual blocks, head.

    Its output is zero at initialization. It commutes with shifts along periodic axes; between walls, which `walls`
    names as in `local_conv`, an axis needs as many cells as the largest dilation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        num_blocks: int,
        dilations: Sequence[int] = (1, 2, 4, 8, 4, 2, 1),
        walls: Sequence[bool] = (False,),
    ) -> None:
        super().__init__()
        self.lift = local_conv(in_channels, width, 3, walls)
        self.blocks = nn.ModuleList(DilatedBlock(width, dilations, walls) for _ in range(num_blocks))
        self.head = zero_init(local_conv(width, out_channels, 3, walls))

    def forward(self, x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch out *grid"]:
        """Return the output on the same cells."""
        x = self.lift(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class ConvEncoder(nn.Module):
    """A line of cells as tokens, one for each 2^num_levels cells; zero at initialization."""

    def __init__(self, in_channels: int, dim: int, width: int, num_levels: int) -> None:
        super().__init__()
        self.lift = circular_conv(in_channels, width, 5)
        self.levels = nn.Sequential()
        for _ in range(num_levels):
            self.levels.append(ResidualBlock(width, width))
            self.levels.append(Conv1d(width, width, 2, stride=2))
        self.head = zero_init(Conv1d(width, dim, 1))

    def forward(self, x: Float[Tensor, "batch channel cell"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens, left to right."""
        return rearrange(self.head(self.levels(self.lift(x))), "batch dim token -> batch token dim")


class ConvDecoder(nn.Module):
    """Tokens as a line of 2^num_levels cells each; zero at initialization."""

    def __init__(self, dim: int, out_channels: int, width: int, num_levels: int) -> None:
        super().__init__()
        self.lift = circular_conv(dim, width, 3)
        self.levels = nn.Sequential()
        for _ in range(num_levels):
            self.levels.append(nn.ConvTranspose1d(width, width, 2, stride=2))
            self.levels.append(ResidualBlock(width, width))
        self.head = zero_init(Conv1d(width, out_channels, 1))

    def forward(self, z: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch channel cell"]:
        """Return the cells, left to right."""
        return self.head(self.levels(self.lift(rearrange(z, "batch token dim -> batch dim token"))))
