"""A block-causal transformer over frames of tokens: attention in space within a frame, in time to earlier frames.

The parts are those of Dreamer 4 (Hafner et al., arXiv:2509.24527, section 3): RMS norms before each part, rotary
positions in time, normalized queries and keys, grouped keys and values, logits capped softly, SwiGLU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ups.nets.transformer import SwiGLU

CAP = 50.0
"""Logits of attention stay within it: cap tanh(logit / cap)."""


class Cache(NamedTuple):
    """Keys and values of the frames so far, one pair for each layer of attention in time; and how many there were.

    Every tensor has the batch as its first axis.
    """

    keys: tuple[Float[Tensor, "batch token head time dim"], ...]
    values: tuple[Float[Tensor, "batch token head time dim"], ...]
    count: Int[Tensor, " batch"]

    def last(self, frames: int) -> Cache:
        """Return the cache of the last so many frames."""
        keys, values = (tuple(part[..., -frames:, :] for part in parts) for parts in (self.keys, self.values))
        return Cache(keys, values, self.count)


class Attention(nn.Module):
    """Queries read keys and values in groups: `num_heads` of queries share `num_kv_heads` of keys and values."""

    def __init__(self, dim: int, num_heads: int, num_kv_heads: int) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, dim // num_heads
        self.to_query = nn.Linear(dim, dim, bias=False)
        self.to_key_value = nn.Linear(dim, 2 * num_kv_heads * self.head_dim, bias=False)
        self.query_norm, self.key_norm = nn.RMSNorm(self.head_dim), nn.RMSNorm(self.head_dim)
        self.project = nn.Linear(dim, dim, bias=False)

    def split(self, x: Float[Tensor, "*batch place dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each [*batch, head, place, head_dim]."""
        query = self.to_query(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(-2, -3)
        both = self.to_key_value(x).unflatten(-1, (2, self.num_kv_heads, self.head_dim))
        key, value = (part.transpose(-2, -3) for part in both.unbind(-3))
        return self.query_norm(query), self.key_norm(key), value

    def read(
        self, query: Tensor, key: Tensor, value: Tensor, hidden: Bool[Tensor, "*mask"] | None = None
    ) -> Float[Tensor, "*batch place dim"]:
        """Return what each query reads; where `hidden`, it does not."""
        groups = self.num_heads // self.num_kv_heads
        key, value = (part.repeat_interleave(groups, -3) for part in (key, value))
        logits = query @ key.mT / self.head_dim**0.5
        logits = CAP * torch.tanh(logits / CAP)
        if hidden is not None:
            logits = logits.masked_fill(hidden, -torch.inf)
        return self.project((logits.softmax(-1) @ value).transpose(-2, -3).flatten(-2))


class Block(nn.Module):
    """Attention in space, attention in time where there is one, and a gated feed-forward part, each added."""

    def __init__(self, dim: int, num_heads: int, num_kv_heads: int, in_time: bool) -> None:
        super().__init__()
        self.space_norm, self.space = nn.RMSNorm(dim), Attention(dim, num_heads, num_kv_heads)
        self.time_norm = nn.RMSNorm(dim) if in_time else None
        self.time = Attention(dim, num_heads, num_kv_heads) if in_time else None
        self.feed_norm, self.feed = nn.RMSNorm(dim), SwiGLU(dim, 4 * dim)

    def in_space(self, x: Float[Tensor, "batch time token dim"]) -> Float[Tensor, "batch time token dim"]:
        """Return the tokens after those of a frame have read each other."""
        return x + self.space.read(*self.space.split(self.space_norm(x)))

    def fed(self, x: Float[Tensor, "batch time token dim"]) -> Float[Tensor, "batch time token dim"]:
        """Return the tokens after the feed-forward part."""
        return x + self.feed(self.feed_norm(x))


class BlockCausal(nn.Module):
    """Blocks of which every `time_every`-th attends in time: each token to the same one in its own and earlier frames.

    A frame sees no later one, whatever the batch holds; with a cache, new frames see those before them as if all had
    been given at once.
    """

    def __init__(self, dim: int, depth: int, num_heads: int, num_kv_heads: int, time_every: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, num_kv_heads, in_time=layer % time_every == time_every - 1)
            for layer in range(depth)
        )
        self.norm = nn.RMSNorm(dim)

    def forward(
        self,
        x: Float[Tensor, "batch time token dim"],
        cache: Cache | None = None,
        alone: Bool[Tensor, " batch"] | None = None,
        horizon: int | None = None,
    ) -> tuple[Float[Tensor, "batch time token dim"], Cache]:
        """Return the tokens, and the cache with the new frames in it.

        `alone` marks rows whose frames do not see each other; `horizon` is how many frames back one sees, its own
        included.
        """
        batch, num_new = x.shape[:2]
        start = cache.count if cache else torch.zeros(batch, dtype=torch.long, device=x.device)
        num_old = cache.keys[0].shape[-2] if cache and cache.keys else 0
        hidden = _hidden(num_new, num_old, horizon, x.device)
        if alone is not None:
            own = torch.eye(num_new, dtype=torch.bool, device=x.device)
            own = torch.cat([own.new_zeros(num_new, num_old), own], 1)
            hidden = hidden | (alone[:, None, None] & ~own)
            hidden = hidden[:, None, None]  # over tokens and heads
        place = start[:, None] + torch.arange(num_new, device=x.device)
        keys, values = [], []
        for block in cast(Iterable[Block], self.blocks):
            x = block.in_space(x)
            if block.time is not None and block.time_norm is not None:
                query, key, value = block.time.split(block.time_norm(x).transpose(1, 2))
                query, key = rotated(query, place), rotated(key, place)
                if cache:
                    key = torch.cat([cache.keys[len(keys)], key], -2)
                    value = torch.cat([cache.values[len(values)], value], -2)
                keys.append(key)
                values.append(value)
                x = x + block.time.read(query, key, value, hidden).transpose(1, 2)
            x = block.fed(x)
        return self.norm(x), Cache(tuple(keys), tuple(values), start + num_new)


def rotated(
    x: Float[Tensor, "batch token head time dim"], place: Int[Tensor, "batch time"], base: float = 1e4
) -> Float[Tensor, "batch token head time dim"]:
    """Return queries or keys turned by their place in time, so that their product sees the distance alone.

    Source: Su et al., RoFormer, arXiv:2104.09864, equation 34.
    """
    half = x.shape[-1] // 2
    speed = base ** (-torch.arange(half, device=x.device) / half)
    angle = (place[..., None] * speed)[:, None, None]
    first, second = x[..., :half], x[..., half : 2 * half]
    turned = torch.cat(
        [first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], -1
    )
    return torch.cat([turned, x[..., 2 * half :]], -1).to(x.dtype)


def _hidden(num_new: int, num_old: int, horizon: int | None, device: torch.device) -> Bool[Tensor, "new all"]:
    """Return what a new frame does not see: later ones, and those more than `horizon` back."""
    own = num_old + torch.arange(num_new, device=device)[:, None]
    other = torch.arange(num_old + num_new, device=device)
    hidden = other > own
    return hidden if horizon is None else hidden | (other <= own - horizon)
