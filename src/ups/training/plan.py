"""From a budget to a fixed number of updates per phase, so that a run can be repeated and resumed exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from ups.training import distributed

MAX_TIMED = 20
"""Timed updates per phase: enough for one that nothing disturbs."""
SHARE = 0.01
"""The part of the budget that timing one phase may take."""
VALIDATION_SHARE = 0.2
"""The part of a budget in seconds that validations may take: fewer of them follow where one takes long."""


@dataclass(frozen=True)
class Plan:
    """How many updates each phase of a budget has; phase `i` begins at the fraction `starts[i]` of the budget.

    `seconds` is the work that was planned (see `ups.training.clock`); None where the budget is a number of updates.
    `num_validations` are evenly spaced over the updates.
    """

    starts: tuple[float, ...]
    phase_updates: tuple[int, ...]
    seconds: float | None = None
    num_validations: int = 0

    @property
    def num_updates(self) -> int:
        """The number of updates of the whole run."""
        return sum(self.phase_updates)

    def progress(self, update: int) -> float:
        """Return the fraction of the budget that is used before `update`: 0 at the first, 1 after the last.

        Linear within a phase and equal to the phase's start at its first update. It drives the learning rate and
        the unroll.
        """
        for start, end, num_updates in zip(
            self.starts, (*self.starts[1:], 1.0), self.phase_updates, strict=True
        ):
            if update < num_updates:
                return start + (end - start) * update / num_updates
            update -= num_updates
        return 1.0

    def validates(self, update: int) -> bool:
        """Return whether a validation follows the first `update` updates."""
        before, after = (each * self.num_validations // self.num_updates for each in (update - 1, update))
        return after > before


def plan_updates(num_updates: int, starts: tuple[float, ...]) -> Plan:
    """Divide a number of updates among phases; a phase's fraction is one of the updates."""
    bounds = [round(start * num_updates) for start in starts] + [num_updates]
    return Plan(starts, tuple(end - start for start, end in pairwise(bounds)))


def plan_seconds(
    seconds: float, starts: tuple[float, ...], costs: tuple[float, ...], overhead: float
) -> Plan:
    """Divide work among phases: phase `i` makes (share of the time left) / `costs[i]` updates, at least one.

    `costs` are seconds per update; `overhead` are seconds that go to other things (calibration, validation).
    """
    left = max(seconds - overhead, 0.0)
    shares = [end - start for start, end in zip(starts, (*starts[1:], 1.0), strict=True)]
    updates = [max(1, round(share * left / cost)) for share, cost in zip(shares, costs, strict=True)]
    return Plan(starts, tuple(updates), seconds)


def affordable(num_validations: int, seconds: float, cost: float) -> int:
    """Return how many validations of a cost a budget affords: no more than asked for, and one if any."""
    return min(num_validations, max(1, int(VALIDATION_SHARE * seconds / max(cost, 1e-9))))


def measure(
    one_update: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the shortest time of one update by a clock, in seconds, after two that warm up.

    The shortest is what an update costs when nothing else runs, whatever else runs now: stages that are planned at
    different moments get equal work for equal seconds. Between 2 and 20 updates are timed, fewer where a hundredth
    of the budget `seconds` would not hold them.
    """

    def timed() -> float:
        begin = clock()
        one_update()
        return clock() - begin

    one_update()
    estimate = max(timed(), 1e-6)
    # one process decides for all: each update is collective
    num_timed = distributed.broadcast(lambda: min(max(int(SHARE * seconds / estimate), 2), MAX_TIMED))
    return min(timed() for _ in range(num_timed))
