"""What a search costs: calls of networks, counted one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn


def network_calls(stepper: Any) -> int:
    """Return how many networks a stepper calls for a frame: its operator, what corrects it, a decoder if it has one."""
    emulator = getattr(stepper, "emulator", stepper)
    codec = getattr(emulator, "codec", None)
    decodes = isinstance(codec, nn.Module) and any(True for _ in codec.parameters())
    return 1 + (getattr(stepper, "calls_per_frame", None) or 0) + decodes


def affordable(counts: Sequence[int], costs: Sequence[int], budget: int | None) -> tuple[int, ...]:
    """Return the counts, or fewer of each in proportion, as many as a budget pays for.

    Raises:
        ValueError: it does not pay for one of the cheapest.
    """
    wanted = sum(count * cost for count, cost in zip(counts, costs, strict=True))
    if budget is None or wanted <= budget:
        return tuple(counts)
    if budget < min(costs):
        raise ValueError(f"a budget of {budget} calls does not pay for one candidate of {min(costs)}")
    kept = [count * budget // wanted for count in counts]
    for place in sorted(range(len(costs)), key=lambda place: costs[place]):
        spent = sum(count * cost for count, cost in zip(kept, costs, strict=True))
        kept[place] += min(counts[place] - kept[place], (budget - spent) // costs[place])
    return tuple(kept)
