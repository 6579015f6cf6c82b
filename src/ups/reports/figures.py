"""Figures of numbers: error against time, accuracy against cost, training curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ups.reports.drawing import label_ends, label_points, log_axis, new_figure, tidy
from ups.reports.palette import MUTED, RUNG_INKS, TEXT, Style
from ups.reports.run_folder import Curve

NUM_RESAMPLES = 1000
WATCHED = (
    ("train", "training windows", RUNG_INKS[4].light),
    ("held_out", "held-out windows", RUNG_INKS[8].light),
)
KEPT = "weights kept"


def band(
    value: Float[np.ndarray, "trajectory time"],
) -> tuple[Float[np.ndarray, "time"], Float[np.ndarray, "time"]]:
    """Return the 95 % bootstrap interval of the mean over trajectories, frame by frame."""
    num = len(value)
    weights = np.random.default_rng(0).multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES) / num
    low, high = np.quantile(weights @ value, [0.025, 0.975], axis=0)
    return low, high


def error_against_time(
    curves: Mapping[str, Curve],
    styles: Mapping[str, Style],
    ours: Sequence[str],
    metric: str,
    time_unit: str,
    floor: float,
) -> Figure:
    """Mean error of every rung at each frame, with a 95 % interval for ours; `floor` 0 draws no truth floor."""
    figure = new_figure(4.2)
    axes = figure.add_subplot()
    ends = []
    for name, (time, value) in curves.items():
        ink, dash, _, width = styles[name]
        mean = np.where(np.isfinite(value).all(0), value.mean(0), np.nan)
        drawn = np.flatnonzero(
            mean > 0
        )  # neither what diverged nor an exact zero has a place on a logarithmic axis
        if not len(drawn):
            continue
        axes.plot(
            time, mean, color=ink.light, linestyle=dash, linewidth=width, zorder=3 if name in ours else 2
        )
        last = drawn[-1]
        ends.append((
            time[last],
            mean[last],
            name if last == len(time) - 1 else f"{name} (diverges)",
            ink.light,
        ))
        if name in ours and len(value) > 1:
            low, high = band(value[:, drawn])
            axes.fill_between(time[drawn], low, high, color=ink.light, alpha=0.18, linewidth=0)
    axes.margins(x=0)
    if floor:
        axes.axhline(floor, color=MUTED.light, linewidth=0.8)
        ends.append((axes.get_xlim()[1], floor, "error of the truth", MUTED.light))
    axes.set_xlabel(f"time t{time_unit}")
    axes.set_ylabel(f"mean {metric}")
    log_axis(axes, "y")
    tidy(axes)
    label_ends(figure, axes, ends)
    return figure


def accuracy_against_cost(
    points: Mapping[str, tuple[float, float, float, float]],
    styles: Mapping[str, Style],
    metric: str,
    references: Collection[str] = (),
) -> Figure:
    """One mark per rung at (ms per frame, error) with the error's interval; points are (cost, error, low, high).

    The step line joins the rungs that no other rung beats in both; `references` do not compete.
    """
    figure = new_figure(4.4)
    axes = figure.add_subplot()
    for name, (cost, error, low, high) in points.items():
        ink, _, marker, _ = styles[name]
        axes.plot([cost, cost], [low, high], color=ink.light, linewidth=1.4)
        axes.plot(cost, error, marker, color=ink.light, markersize=7)
    front = pareto_front([(x, y) for name, (x, y, _, _) in points.items() if name not in references])
    axes.step(
        *zip(*front, strict=True), where="post", color=MUTED.light, linewidth=0.9, linestyle=":", zorder=1
    )
    axes.set_xlabel("cost of a forecast, ms per frame and trajectory")
    axes.set_ylabel(f"mean {metric}")
    axes.margins(x=0.12, y=0.12)
    log_axis(axes, "x")
    log_axis(axes, "y")
    tidy(axes)
    label_points(
        figure,
        axes,
        [(cost, error, name, styles[name].ink.light) for name, (cost, error, _, _) in points.items()],
    )
    return figure


def error_against_calls(
    points: Mapping[str, tuple[int, float, float, float]],
    references: Mapping[str, float],
    styles: Mapping[str, Style],
    metric: str,
) -> Figure:
    """One mark per sampled rung at (network calls per frame, error) with the error's interval.

    Points are (calls, error, low, high); `references` are errors of rungs that sample nothing, drawn as lines.
    """
    figure = new_figure(3.6)
    axes = figure.add_subplot()
    for name, error in references.items():
        ink, dash, _, _ = styles[name]
        axes.axhline(error, color=ink.light, linestyle=dash, linewidth=1.0, label=name)
    for name, (calls, error, low, high) in points.items():
        ink, _, marker, _ = styles[name]
        axes.plot([calls, calls], [low, high], color=ink.light, linewidth=1.4)
        axes.plot(calls, error, marker, color=ink.light, markersize=7)
    axes.set_xlabel("network calls per frame")
    axes.set_ylabel(f"mean {metric}")
    axes.margins(x=0.15, y=0.15)
    log_axis(axes, "x")
    log_axis(axes, "y")
    tidy(axes)
    marks = [
        (float(calls), error, name, styles[name].ink.light) for name, (calls, error, _, _) in points.items()
    ]
    label_points(figure, axes, marks)
    if references:
        figure.legend(loc="outside lower center", ncols=min(3, len(references)))
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (cost, error) that no other point beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, error in sorted(points):
        if not front or error < front[-1][1]:
            front.append((cost, error))
    return front


def training_curves(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Loss of each stage as a fraction of its trivial predictor's, and its validation score below.

    Where it was measured, the loss of the averaged weights on training and on held-out windows, the same ones each
    time, lies over the loss of the updates. A dashed line marks the update that scored best: its weights are kept.
    """
    stages = {name: log for name, log in logs.items() if series(log, "loss")[0].size}
    validated = any(series(log, "validation")[0].size for log in stages.values())
    num_columns = min(3, len(stages))
    num_bands = -(-len(stages) // num_columns)
    num_lines = 2 if validated else 1
    figure = new_figure(num_bands * (2.5 + 1.6 * (num_lines - 1)))
    grid = figure.add_gridspec(
        num_bands * num_lines, num_columns, height_ratios=[2.2, 1.4][:num_lines] * num_bands
    )
    named = {}
    for index, (name, log) in enumerate(stages.items()):
        line, column = num_lines * (index // num_columns), index % num_columns
        axes = figure.add_subplot(grid[line, column])
        axes.set_title(name)
        _loss_panel(axes, log)
        label = "loss / trivial" if series(log, "trivial")[0].size else "loss (no unit)"
        axes.set_ylabel(label if column == 0 else "")
        panels = [axes]
        score_update, score = series(log, "validation")
        if score.size:
            below = figure.add_subplot(grid[line + 1, column], sharex=axes)
            axes.tick_params(labelbottom=False)
            below.plot(score_update, score, color=TEXT.light, marker="o", markersize=3, linewidth=1.0)
            log_axis(below, "y")
            tidy(below)
            below.set_ylabel("validation")
            panels.append(below)
            kept = score_update[score.argmin()]
            for panel in panels:
                panel.axvline(kept, color=MUTED.light, linewidth=1.0, linestyle="--", zorder=1, label=KEPT)
        panels[-1].set_xlabel("update")
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if any(label in named for _, label, _ in WATCHED):
        figure.legend(named.values(), named.keys(), loc="outside upper right", ncols=len(named))
    return figure


def _loss_panel(axes: Axes, log: Sequence[Mapping[str, Any]]) -> None:
    update, loss = fraction_of_trivial(log)
    axes.plot(update, loss, color=MUTED.light, linewidth=0.6, alpha=0.45)
    axes.plot(update, smooth(loss), color=TEXT.light, linewidth=1.5, label="updates")
    for key, label, color in WATCHED:
        at, value = series(log, key)
        if at.size:
            axes.plot(at, value, color=color, marker="o", markersize=3, linewidth=1.5, label=label)
    if series(log, "trivial")[0].size:
        axes.axhline(1, color=MUTED.light, linewidth=0.9, linestyle=":")
    log_axis(axes, "y")
    tidy(axes)


def series(
    log: Sequence[Mapping[str, Any]], key: str
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return the updates at which a key was logged and its positive, finite values."""
    pairs = [
        (row.get("update", index), row[key])
        for index, row in enumerate(log)
        if isinstance(row.get(key), int | float)
    ]
    pairs = [pair for pair in pairs if np.isfinite(pair[1]) and pair[1] > 0]
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def fraction_of_trivial(
    log: Sequence[Mapping[str, Any]],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return loss / trivial at each update, or the plain loss where the stage logged no trivial predictor."""
    scaled = [
        {"update": row.get("update", index), "loss": row["loss"] / row["trivial"]}
        for index, row in enumerate(log)
        if row.get("loss") is not None and row.get("trivial")
    ]
    return series(scaled or log, "loss")


def smooth(value: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return the running median over a fortieth of the series; it follows a jump and ignores a spike."""
    half = len(value) // 80
    padded = np.pad(value, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)
