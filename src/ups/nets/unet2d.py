"""The U-Net of denoising diffusion models, on square images."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ups.nets.blocks import zero_init

NUM_GROUPS = 8
"""Of every group normalization; divides the width of the network."""


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that sees zeros beyond the border and keeps the size but for its stride."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)


class PixelAttention(nn.Module):
    """x -> x + project(softmax(q k^T / sqrt(channels)) v) between all pixels, with one head; x at initialization.

    Written out: PyTorch's fused attention has no second derivative on a CPU, and curvature is asked of this network.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NUM_GROUPS, channels)
        self.to_query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.project = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Return the pixels, each with what it read from all others."""
        query, key, value = self.to_query_key_value(self.norm(x)).flatten(2).chunk(3, dim=1)
        weights = (query.mT @ key / math.sqrt(x.shape[1])).softmax(dim=-1)
        read = rearrange(weights @ value.mT, "b (h w) c -> b c h w", h=x.shape[2])
        return x + self.project(read)


class ConditionedBlock(nn.Module):
    """x -> skip(x) + conv(dropout(SiLU(norm(conv(SiLU(norm(x))) + shift(c))))), then attention if it `attends`.

    At initialization it is skip(x), which is x or, where the channels change, a linear map of them.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cond_dim: int, attends: bool, dropout: float
    ) -> None:
        super().__init__()
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
        self.norm_in = nn.GroupNorm(NUM_GROUPS, in_channels)
        self.conv_in = conv3x3(in_channels, out_channels)
        self.shift = nn.Linear(cond_dim, out_channels)
        self.norm_out = nn.GroupNorm(NUM_GROUPS, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zero_init(conv3x3(out_channels, out_channels))
        self.attention = PixelAttention(out_channels) if attends else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch channel height width"], condition: Float[Tensor, "batch cond"]
    ) -> Float[Tensor, "batch out height width"]:
        """Return the block's output on the same pixels."""
        h = self.conv_in(F.silu(self.norm_in(x))) + self.shift(condition)[:, :, None, None]
        return self.attention(self.skip(x) + self.conv_out(self.dropout(F.silu(self.norm_out(h)))))


class UNet2d(nn.Module):
    """Residual blocks at `len(multipliers)` resolutions, each half the one above, with a skip from every block.

    Level i has `width * multipliers[i]` channels and, if `attention` names it, attention after every block. Two
    blocks stand at the bottom, with attention between them if `attention` names the level below the last. The output
    is zero at initialization. Both sides of the image are multiples of 2^(levels - 1). `width` is a multiple of 8 and
    at least 16: a group of one channel is normalized alone, and the condition's shift of it is lost.

    With width 128, attention (1, 4) and a condition of 128 numbers this is the network of Ho et al. for 32 x 32 images
    (arXiv:2006.11239, appendix B) but for its number of groups, 32; theirs was given the step's number, this one gets
    any vector.

    The memory format of the images passes through the whole network. On a CPU `channels_last` takes about 8 % less
    time, but in it PyTorch's group normalization has no forward-mode derivative (`torch.func.jvp`).
    """

    def __init__(
        self,
        channels: int,
        width: int,
        cond_dim: int,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        num_blocks: int = 2,
        attention: Collection[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = 4 * width
        widths = [width * multiplier for multiplier in multipliers]

        def block(in_channels: int, out_channels: int, attends: bool) -> ConditionedBlock:
            return ConditionedBlock(in_channels, out_channels, hidden, attends, dropout)

        self.embed = nn.Sequential(
            nn.Linear(cond_dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.lift = conv3x3(channels, width)
        self.down, self.pool = nn.ModuleList(), nn.ModuleList()
        skips, last = [width], len(widths) - 1
        for level, (above, here) in enumerate(pairwise([width, *widths])):
            inputs = [above, *[here] * (num_blocks - 1)]
            self.down.append(
                nn.ModuleList(block(channels_in, here, level in attention) for channels_in in inputs)
            )
            skips += num_blocks * [here]
            if level < last:
                self.pool.append(conv3x3(here, here, stride=2))
                skips.append(here)
        below = widths[last]
        self.bottom = nn.ModuleList([block(below, below, last + 1 in attention), block(below, below, False)])
        self.up, self.unpool = nn.ModuleList(), nn.ModuleList()
        for level, here in reversed(list(enumerate(widths))):
            blocks = nn.ModuleList()
            for _ in range(num_blocks + 1):
                blocks.append(block(below + skips.pop(), here, level in attention))
                below = here
            self.up.append(blocks)
            if level > 0:
                self.unpool.append(conv3x3(here, here))
        self.head = nn.Sequential(
            nn.GroupNorm(NUM_GROUPS, width), nn.SiLU(), zero_init(conv3x3(width, channels))
        )

    def forward(
        self, x: Float[Tensor, "batch channel height width"], condition: Float[Tensor, "batch cond"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Return an image for each image."""
        condition = self.embed(condition)
        x = self.lift(x)
        skips = [x]
        for level, blocks in enumerate(self.down):
            if level > 0:
                x = self.pool[level - 1](x)
                skips.append(x)
            for block in blocks:  # ty: ignore[not-iterable]
                x = block(x, condition)
                skips.append(x)
        for block in self.bottom:
            x = block(x, condition)
        for level, blocks in enumerate(self.up):
            if level > 0:
                x = self.unpool[level - 1](F.interpolate(x, scale_factor=2.0))
            for block in blocks:  # ty: ignore[not-iterable]
                x = block(torch.cat([x, skips.pop()], dim=1), condition)
        return self.head(x)
