"""The rollout watch: few steps ahead are learned, many are lost, and validation keeps a network that knows neither."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

LEAST = 2.0
"""Factor by which the one must fall and the other rise."""


class _Point(NamedTuple):
    update: int
    held_out: float
    validation: float


def finding(rows: Sequence[Mapping[str, Any]], kept: int) -> str | None:
    """Say so in one sentence with numbers if the log of a stage shows it, or return None.

    After the update whose weights are kept, the loss on held-out windows falls to less than half while the error of
    the validation rollout more than doubles. A validation that is not finite counts as risen.
    """
    points = [
        _Point(row["update"], row["held_out"], math.inf if row["validation"] is None else row["validation"])
        for row in rows
        if row.get("held_out") is not None and "validation" in row
    ]
    best = next((point for point in points if point.update == kept), None)
    later = [point for point in points if point.update > kept]
    if best is None or not later:
        return None
    learned = min(later, key=lambda point: point.held_out)
    if LEAST * learned.held_out > best.held_out or learned.validation <= LEAST * best.validation:
        return None
    return (
        f"few steps ahead are learned, many are lost: from update {kept}, whose weights are kept, to update "
        f"{learned.update} the held-out loss falls from {best.held_out:.2g} to {learned.held_out:.2g} of the trivial "
        f"predictor's, but the error of the validation rollout rises from {best.validation:.2g} to "
        f"{learned.validation:.2g}; try training.noise=0.05, or a longer training.unroll"
    )
