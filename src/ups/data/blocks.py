"""An endless list of trajectories, made in whole blocks, so that none depends on how many are asked for."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ups.progress import Progress

BLOCK = 32
"""Trajectories that are drawn and solved together; whole blocks are made and the last one is cut."""

Report = Callable[[float], None]
"""Called with the fraction of one block that is done."""


def fill(
    values: Tensor,
    params: Tensor,
    make: Callable[[int, Report], tuple[Tensor, Tensor]],
    progress: Progress | None,
    text: str,
) -> dict[str, Tensor]:
    """Fill the trajectories and their parameters block by block, and return them by name.

    `make(block, report)` returns the `BLOCK` trajectories, and their parameters, of one block.
    """
    num_trajectories = len(values)
    for start in range(0, num_trajectories, BLOCK):

        def report(fraction: float, start: int = start) -> None:
            if progress:
                progress(min(1.0, (start + BLOCK * fraction) / num_trajectories), text)

        frames, chosen = make(start // BLOCK, report)
        count = min(BLOCK, num_trajectories - start)
        values[start : start + count] = frames[:count]
        params[start : start + count] = chosen[:count]
    return {"values": values, "params": params}
