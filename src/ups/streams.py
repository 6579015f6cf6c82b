"""Randomness is an argument: named, counter-based streams; the global generator is never used.

A stream is a pure function of (seed, name, counter). Nothing has to be saved to resume a run, and drawing from
one stream (an evaluation, say) cannot move another (the training batches).
"""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, name: str, counter: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for the stream `name` of `seed` at position `counter`.

    The generator is seeded with the first 63 bits of sha256("seed/name/counter"), so that neighbouring seeds
    and counters give unrelated numbers.
    """
    digest = hashlib.sha256(f"{seed}/{name}/{counter}".encode()).digest()
    generator = torch.Generator(device=device)
    generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return generator
