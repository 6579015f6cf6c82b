"""A U-Net on a line, a plane or a box."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ups.nets.blocks import zero_init
from ups.nets.conv import CONVOLUTIONS, ResidualBlock, local_conv

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""By the number of axes, from one on."""


class UNet(nn.Module):
    """Residual blocks at `len(multipliers)` resolutions, each half the one above, with concatenated skips.

    Its output is zero at initialization. It commutes with shifts along periodic axes by multiples of 2^(levels - 1)
    cells, which must divide the number of cells; `walls` says which axes lie between walls. Ronneberger et al.
    (arXiv:1505.04597), without normalization layers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        multipliers: Sequence[int] = (1, 2, 4, 8),
        walls: Sequence[bool] = (False,),
    ) -> None:
        super().__init__()
        pool, unpool = CONVOLUTIONS[len(walls) - 1], TRANSPOSED[len(walls) - 1]
        widths = [width * multiplier for multiplier in multipliers]
        steps = list(pairwise(widths))
        self.lift = local_conv(in_channels, width, 5, walls)
        self.down = nn.ModuleList(ResidualBlock(fine, fine, walls) for fine, _ in steps)
        self.pool = nn.ModuleList(pool(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.bottom = nn.Sequential(*(ResidualBlock(widths[-1], widths[-1], walls) for _ in range(2)))
        self.unpool = nn.ModuleList(unpool(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.up = nn.ModuleList(ResidualBlock(2 * fine, fine, walls) for fine, _ in steps)
        self.head = zero_init(local_conv(width, out_channels, 3, walls))

    def forward(self, x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch out *grid"]:
        """Return the output on the same cells."""
        x = self.lift(x)
        skips = []
        for block, pool in zip(self.down, self.pool, strict=True):
            x = block(x)
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for block, unpool, skip in reversed(list(zip(self.up, self.unpool, skips, strict=True))):
            x = block(torch.cat([unpool(x), skip], dim=1))
        return self.head(x)
