"""Hutchinson's estimate of the trace of a matrix that is known by its quadratic form."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from ups.probes.products import Params, unflatten
from ups.streams import stream


@dataclass(frozen=True)
class Trace:
    """An estimate of a trace: one unbiased value v'Av a probe vector, all kept.

    Their variance is 2 |A - diag A|_F^2 for Rademacher vectors. A trace is a sum of eigenvalues of both signs, so
    a small one is no proof of flatness.
    Source: Hutchinson, Communications in Statistics 19 (1990).
    """

    raw: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The estimate."""
        return statistics.fmean(self.raw)

    @property
    def std(self) -> float:
        """Standard deviation of one value, with the divisor m - 1; NaN for a single vector."""
        return statistics.stdev(self.raw) if len(self.raw) > 1 else math.nan

    @property
    def sem(self) -> float:
        """Standard error of the mean, std / sqrt(m)."""
        return self.std / math.sqrt(len(self.raw))

    def __sub__(self, other: Trace) -> Trace:
        """Return the difference vector by vector; far tighter than the two errors say if they share vectors."""
        return Trace(tuple(a - b for a, b in zip(self.raw, other.raw, strict=True)))


def hutchinson(form: Callable[[Params], float], vectors: Iterable[Params]) -> Trace:
    """Evaluate the quadratic form on every vector."""
    return Trace(tuple(form(vector) for vector in vectors))


def rademacher(params: Params, seed: int, num_vectors: int) -> Iterator[Params]:
    """Yield vectors of independent signs; the k-th depends on the seed, on k and on the number of parameters.

    They are drawn on the processor, one stream each, so every device and every number of vectors agrees on them.
    """
    size = sum(tensor.numel() for tensor in params.values())
    for k in range(num_vectors):
        bits = torch.randint(0, 2, (size,), dtype=torch.int8, generator=stream(seed, "probes/rademacher", k))
        yield unflatten((2 * bits - 1).float(), params)
