"""The interval of a spread-skill ratio, by the bootstrap that all verdicts use."""

from __future__ import annotations

import numpy as np

from ups.statistics.bootstrap import Interval, Values, paired_bootstrap


def spread_skill_interval(
    spread: Values, squared_error: Values, num_resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Return the root of mean `spread` over mean `squared_error` and its 95 % interval over trajectories.

    The two are the metrics of that name, one number per trajectory (their mean over frames and cells, or one frame),
    and are resampled together: mean spread over mean squared error is 1 minus the skill of `paired_bootstrap`. An
    ensemble is refuted as calibrated if the interval excludes 1.

    Raises:
        ValueError: a value is not finite; leave out the trajectories that blew up, and say how many.
    """
    skill = paired_bootstrap(spread, squared_error, num_resamples, seed)
    mean, low, high = (float(np.sqrt(max(0.0, 1.0 - share))) for share in (skill.mean, skill.high, skill.low))
    return Interval(mean, low, high)
