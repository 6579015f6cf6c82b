"""Transformers over tokens: attention in windows, blocks modulated by a condition, a stack and a U-shape of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ups.nets.blocks import Modulation

FeedForward = Callable[[int, int], nn.Module]
"""Makes the pointwise part of a block from (dim, hidden): `blocks.MLP` or `SwiGLU`."""


class SwiGLU(nn.Module):
    """x -> W_out(SiLU(W_gate x) * W_in x), hidden width 2/3 of `hidden` so that it costs what an MLP does.

    Shazeer (arXiv:2002.05202).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        inner = max(1, 2 * hidden // 3)
        self.project_in = nn.Linear(dim, 2 * inner)
        self.project_out = nn.Linear(inner, dim)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the gated projection."""
        gate, value = self.project_in(x).chunk(2, dim=-1)
        return self.project_out(F.silu(gate) * value)


class Attention(nn.Module):
    """Multi-head attention of queries to a context, with RMS-normalized queries and keys.

    softmax(q k^T / sqrt(head dim)) v; the normalization bounds the logits (Henry et al., arXiv:2010.04245).
    """

    def __init__(self, dim: int, num_heads: int, context_dim: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_query = nn.Linear(dim, dim)
        self.to_key_value = nn.Linear(context_dim or dim, 2 * dim)
        self.query_norm = nn.RMSNorm(dim // num_heads)
        self.key_norm = nn.RMSNorm(dim // num_heads)
        self.project = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "batch query dim"], context: Float[Tensor, "batch key other"]
    ) -> Float[Tensor, "batch query dim"]:
        """Return what each query reads from the context."""
        query = rearrange(self.to_query(x), "b n (h d) -> b h n d", h=self.num_heads)
        key, value = rearrange(
            self.to_key_value(context), "b n (two h d) -> two b h n d", two=2, h=self.num_heads
        )
        read = F.scaled_dot_product_attention(self.query_norm(query), self.key_norm(key), value)
        return self.project(rearrange(read, "b h n d -> b n (h d)"))


class WindowAttention(nn.Module):
    """Self-attention inside windows of neighbouring tokens on a ring, the windows moved by `shift` tokens."""

    def __init__(self, dim: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.attention = Attention(dim, num_heads)

    def forward(self, x: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        """Return what each token reads from its window; the number of tokens is a multiple of the window."""
        batch = x.shape[0]
        windows = rearrange(x.roll(-self.shift, dims=1), "b (n w) d -> (b n) w d", w=self.window)
        read = self.attention(windows, windows)
        return rearrange(read, "(b n) w d -> b (n w) d", b=batch).roll(self.shift, dims=1)


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, their inputs modulated by a condition."""

    def __init__(
        self, dim: int, num_heads: int, window: int, shift: int, cond_dim: int, feed_forward: FeedForward
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.attention_modulation = Modulation(cond_dim, dim)
        self.attention = WindowAttention(dim, num_heads, window, shift)
        self.feed_norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.feed_modulation = Modulation(cond_dim, dim)
        self.feed = feed_forward(dim, 2 * dim)

    def forward(
        self, x: Float[Tensor, "batch token dim"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens after both parts."""
        x = x + self.attention(self.attention_modulation(self.attention_norm(x), condition))
        return x + self.feed(self.feed_modulation(self.feed_norm(x), condition))


class TransformerStack(nn.Module):
    """Blocks one after the other; every second one has its windows moved by half a window."""

    def __init__(
        self,
        num_tokens: int,
        dim: int,
        depth: int,
        num_heads: int,
        window: int,
        cond_dim: int,
        feed_forward: FeedForward,
    ) -> None:
        super().__init__()
        window = min(window, num_tokens)
        stride = window // 2 if window < num_tokens else 0
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, num_heads, window, stride * (layer % 2), cond_dim, feed_forward)
            for layer in range(depth)
        )

    def forward(
        self, x: Float[Tensor, "batch token dim"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens after all blocks."""
        for block in self.blocks:
            x = block(x, condition)
        return x


def interpolate_twice(x: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch double dim"]:
    """Return twice as many tokens by linear interpolation between centres on a ring."""
    left = torch.lerp(x, x.roll(1, dims=1), 0.25)
    right = torch.lerp(x, x.roll(-1, dims=1), 0.25)
    return rearrange([left, right], "two b n d -> b (n two) d")


class TransformerUNet(nn.Module):
    """A U-shape of stacks: pairs of tokens are merged on the way down, interpolated on the way up.

    `depths` counts the blocks of each resolution, the last being the bottom; all but the bottom also run on the
    way up, after the skip was added through a projection.
    """

    def __init__(
        self,
        num_tokens: int,
        dim: int,
        depths: Sequence[int],
        num_heads: int,
        window: int,
        cond_dim: int,
        feed_forward: FeedForward,
    ) -> None:
        super().__init__()

        def stack(level: int) -> TransformerStack:
            tokens = num_tokens // 2**level
            return TransformerStack(tokens, dim, depths[level], num_heads, window, cond_dim, feed_forward)

        levels = range(len(depths) - 1)
        self.down = nn.ModuleList(stack(level) for level in levels)
        self.merge = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in levels)
        self.bottom = stack(len(depths) - 1)
        self.skip = nn.ModuleList(nn.Linear(dim, dim) for _ in levels)
        self.up = nn.ModuleList(stack(level) for level in levels)

    def forward(
        self, x: Float[Tensor, "batch token dim"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return as many tokens as came in."""
        skips = []
        for stack, merge in zip(self.down, self.merge, strict=True):
            x = stack(x, condition)
            skips.append(x)
            x = merge(rearrange(x, "b (n two) d -> b n (two d)", two=2))
        x = self.bottom(x, condition)
        for stack, project, skip in reversed(list(zip(self.up, self.skip, skips, strict=True))):
            x = stack(interpolate_twice(x) + project(skip), condition)
        return x
