"""States of any stepper, row by row: whatever they are, the batch is the first axis of every tensor in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def each(change: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Return a state with every tensor changed; tuples of any kind are walked."""
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, tuple):
        parts = [each(change, part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def repeated(state: Any, count: int) -> Any:
    """Return `count` copies of a batch, one after the other: rows (copy, batch)."""
    if count == 1:
        return state
    return each(lambda part: part.repeat(count, *[1] * (part.ndim - 1)), state)


def rows_of(state: Any, index: Tensor) -> Any:
    """Return the rows that `index` names, in its order."""
    return each(lambda part: part[index.to(part.device)], state)


def joined(states: list[Any]) -> Any:
    """Return several batches of one kind of state as one."""
    first = states[0]
    if len(states) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(states)
    if isinstance(first, tuple):
        parts = [joined([state[place] for state in states]) for place in range(len(first))]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return first
