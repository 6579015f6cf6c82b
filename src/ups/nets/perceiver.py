"""A line of cells as a few tokens, read back at any point: cross-attention both ways."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ups.nets.blocks import MLP, periodic_features
from ups.nets.conv import circular_conv
from ups.nets.transformer import Attention


class CrossBlock(nn.Module):
    """Pre-norm attention to a context, then an MLP; self-attention where the context is the input."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.query_norm, self.context_norm, self.feed_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.attention = Attention(dim, num_heads)
        self.feed = MLP(dim, 2 * dim)

    def forward(
        self, x: Float[Tensor, "batch query dim"], context: Float[Tensor, "batch key dim"]
    ) -> Float[Tensor, "batch query dim"]:
        """Return the queries after both parts."""
        x = x + self.attention(self.query_norm(x), self.context_norm(context))
        return x + self.feed(self.feed_norm(x))


class PerceiverEncoder(nn.Module):
    """Learned queries pool the cells into `num_tokens` tokens (Jaegle et al., arXiv:2103.03206).

    A cell is what a circular convolution of width 5 sees around it, plus periodic features of its phase, the
    position on the line in units of its length.
    """

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        dim: int,
        hidden: int,
        num_heads: int,
        depth: int,
        num_frequencies: int,
    ) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.lift = circular_conv(in_channels, hidden, 5)
        self.place = nn.Linear(2 * num_frequencies, hidden)
        self.queries = nn.Parameter(torch.randn(num_tokens, hidden))
        self.pool = CrossBlock(hidden, num_heads)
        self.blocks = nn.ModuleList(CrossBlock(hidden, num_heads) for _ in range(depth))
        self.head = nn.Linear(hidden, dim)

    def forward(
        self, x: Float[Tensor, "batch channel cell"], phase: Float[Tensor, " cell"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens."""
        cells = self.lift(x).mT + self.place(periodic_features(phase, self.num_frequencies))
        tokens = self.pool(self.queries.expand(x.shape[0], -1, -1), cells)
        for block in self.blocks:
            tokens = block(tokens, tokens)
        return self.head(tokens)


class PerceiverDecoder(nn.Module):
    """Points ask the tokens for the values there (Perceiver IO, arXiv:2107.14795)."""

    def __init__(
        self,
        num_tokens: int,
        dim: int,
        out_channels: int,
        hidden: int,
        num_heads: int,
        depth: int,
        num_frequencies: int,
    ) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.lift = nn.Linear(dim, hidden)
        self.places = nn.Parameter(0.02 * torch.randn(num_tokens, hidden))
        self.blocks = nn.ModuleList(CrossBlock(hidden, num_heads) for _ in range(depth))
        self.query = nn.Linear(2 * num_frequencies, hidden)
        self.read = CrossBlock(hidden, num_heads)
        self.head = MLP(hidden, hidden, out_channels)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], phase: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch channel point"]:
        """Return the values at the points, whose phase is the position in units of the line's length."""
        context = self.lift(tokens) + self.places
        for block in self.blocks:
            context = block(context, context)
        queries = self.query(periodic_features(phase, self.num_frequencies))
        return self.head(self.read(queries, context)).mT
