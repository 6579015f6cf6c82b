"""Several questions at once, and how many seeds one of them takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ups.statistics.quantiles import student_quantile

MOST_SEEDS = 1000
"""Beyond so many nobody asks."""


def holm_levels(p_values: Sequence[float], level: float) -> list[float]:
    """Return the level at which each of several hypotheses is tested, so that all together err in at most `level`.

    Holm (1979, Scand. J. Statist. 6, 65): in the order of their p-values the first is tested at level / m, the next
    at level / (m - 1), and so on up to the first that is not rejected; the others are tested at its level, which none
    of them passes. So a hypothesis is rejected if, and only if, its interval of confidence 1 - its level excludes it.
    """
    levels, stopped = [0.0] * len(p_values), None
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        levels[index] = stopped or level / (len(p_values) - place)
        if p_values[index] > levels[index]:
            stopped = levels[index]
    return levels


def seeds_needed(
    changes: Float[np.ndarray, " seed"], effect: float, level: float = 0.05, power: float = 0.8
) -> int | None:
    """Return how many paired seeds find a change of size `effect` with this power, from the changes of those run.

    The least n with (t(1 - level / 2) + t(power)) s / sqrt(n) <= effect, t the quantiles of Student's distribution of
    n - 1 degrees of freedom, s the deviation of the changes. None if it cannot be told, or is beyond 1,000.
    """
    if len(changes) < 2 or not np.isfinite(changes).all() or effect <= 0:
        return None
    deviation = float(np.std(changes, ddof=1))

    def finds(number: int) -> bool:
        freedom = float(number - 1)
        quantiles = student_quantile(1.0 - level / 2.0, freedom) + student_quantile(power, freedom)
        return bool(quantiles * deviation <= effect * np.sqrt(number))

    numbers = range(3, MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=finds)
    return numbers[place] if place < len(numbers) else None


def noise_floor(by_seed: Float[np.ndarray, " seed"]) -> float:
    """Return by which fraction two runs that differ in the seed alone typically differ: sqrt(2) deviation / mean."""
    if len(by_seed) < 2 or not np.isfinite(by_seed).all() or by_seed.mean() == 0.0:
        return float("nan")
    return float(np.sqrt(2.0) * np.std(by_seed, ddof=1) / abs(by_seed.mean()))
