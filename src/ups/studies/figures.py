"""The figure of a study: the paired effect of every variant, seed by seed, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ups.reports.drawing import new_figure
from ups.reports.palette import MUTED, RULE, RUNG_INKS, TEXT
from ups.statistics.bootstrap import Interval

INKS = {ink.name: ink for ink in RUNG_INKS}
SEED, MEAN = INKS["baseline-0"], INKS["ours-0"]


class Effect(NamedTuple):
    """The relative change that one variant makes, as fractions, positive is better."""

    name: str
    mean: Interval
    by_seed: Float[np.ndarray, " seed"]


def paired_effects(effects: Sequence[Effect], seeds: Sequence[int], minimal_percent: float) -> Figure:
    """Draw a line for each variant: a dot for each seed, with its number, and the mean with its interval.

    Changes smaller than `minimal_percent` are shaded. What is not finite has no place and is left out.
    """
    figure = new_figure(1.0 + 0.62 * len(effects))
    axes = figure.add_subplot()
    if minimal_percent:
        axes.axvspan(-minimal_percent, minimal_percent, color=RULE.light, linewidth=0)
    axes.axvline(0.0, color=MUTED.light, linewidth=0.8)
    for height, (_, mean, by_seed) in enumerate(effects):
        for seed, value in zip(seeds, 100.0 * by_seed, strict=True):
            if np.isfinite(value):
                axes.plot(value, height - 0.2, "o", color=SEED.light, markersize=5, alpha=0.9)
                axes.annotate(
                    str(seed),
                    (value, height - 0.2),
                    (0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7.5,
                    color=MUTED.light,
                )
        if np.isfinite(mean).all():
            low, high = 100.0 * mean.low, 100.0 * mean.high
            axes.plot(
                [low, high], [height + 0.15] * 2, color=MEAN.light, linewidth=2.2, solid_capstyle="butt"
            )
            axes.plot(100.0 * mean.mean, height + 0.15, "D", color=MEAN.light, markersize=6)
    axes.set_yticks(range(len(effects)), [effect.name for effect in effects], color=TEXT.light)
    axes.set_ylim(len(effects) - 0.45, -0.6)
    axes.set_xlabel("paired change of the metric in per cent of the base; to the right is better")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure
