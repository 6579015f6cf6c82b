"""Figures of samples: what the members of an ensemble look like beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ups.reports.drawing import new_figure, tidy
from ups.reports.palette import MUTED, TEXT, Style

NUM_SAMPLES = 3
BRIGHTEST = 0.995  # the quantile of deviations that has the brightest color


def sample_fans(
    x: Float[np.ndarray, "cell"],
    time: Float[np.ndarray, "time"],
    truth: Float[np.ndarray, "time cell"],
    forecasts: Mapping[str, Float[np.ndarray, "member time cell"]],
    styles: Mapping[str, Style],
    labels: tuple[str, str, str],
) -> Figure:
    """Members, their mean and the truth along the domain: one row per stepper, one column per frame.

    The arrays hold the frames to draw, three or four; `labels` are those of the field, x and the unit of time.
    """
    field_label, x_label, time_unit = labels
    figure = new_figure(0.5 + 1.75 * len(forecasts))
    panels = figure.subplots(len(forecasts), len(time), squeeze=False, sharex=True, sharey=True)
    for row, (name, members) in zip(panels, forecasts.items(), strict=True):
        ink, members = styles[name].ink.light, _finite(members)
        for frame, axes in enumerate(row):
            axes.plot(x, members[:, frame].T, color=ink, linewidth=0.6, alpha=0.4)
            axes.plot(x, members[:, frame].mean(0), color=ink, linewidth=2.2)
            axes.plot(x, truth[frame], color=TEXT.light, linewidth=1.1)
            axes.margins(x=0)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            tidy(axes)
        row[0].set_ylabel(field_label)
        _row_heading(row[0], name)
    panels[0, 0].set_ylim(*_limits(truth, list(forecasts.values())))
    for axes, instant in zip(panels[0], time, strict=True):
        axes.set_title(f"t = {instant:.3g}{time_unit}")
    for axes in panels[-1]:
        axes.set_xlabel(x_label)
    figure.legend(
        handles=[
            Line2D([], [], color=TEXT.light, linewidth=1.1, label="truth"),
            Line2D([], [], color=MUTED.light, linewidth=2.2, label="mean of the members"),
            Line2D([], [], color=MUTED.light, linewidth=0.6, alpha=0.7, label="member"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def sample_images(
    x: Float[np.ndarray, "column"],
    y: Float[np.ndarray, "row"],
    truth: Float[np.ndarray, "row column"],
    forecasts: Mapping[str, Float[np.ndarray, "member row column"]],
    labels: tuple[str, str, str],
    aspect: Literal["auto", "equal"] = "auto",
) -> Figure:
    """Truth, three members, their standard deviation and the error of their mean as images; a row per stepper.

    Of space and time, or of a plane, which has an equal aspect. Values share one color scale; deviations and errors
    share another, so that a calibrated ensemble is bright where it is wrong. `labels` are those of the field and of
    the two axes.
    """
    field_label, x_label, y_label = labels
    figure = new_figure(0.4 + (1.9 if aspect == "auto" else 1.35) * len(forecasts))
    panels = figure.subplots(len(forecasts), NUM_SAMPLES + 3, squeeze=False, sharex=True, sharey=True)
    shared = {"aspect": aspect, "extent": (x[0], x[-1], y[0], y[-1])}
    values = shared | {"cmap": "viridis", "vmin": truth.min(), "vmax": truth.max()}
    deviations = {name: _deviations(members, truth) for name, members in forecasts.items()}
    finite = np.concatenate([np.ravel(pair) for pair in deviations.values()])
    finite = finite[np.isfinite(finite)]
    brightest = np.quantile(finite, BRIGHTEST) if finite.any() else 1.0
    for row, (name, members) in zip(panels, forecasts.items(), strict=True):
        value_image = row[0].imshow(truth, **values)
        for axes, member in zip(row[1:], members[:NUM_SAMPLES], strict=False):
            axes.imshow(member, **values)
        for axes, deviation in zip(row[-2:], deviations[name], strict=True):
            deviation_image = axes.imshow(deviation, **shared, cmap="magma", vmin=0, vmax=brightest)
        row[0].set_ylabel(y_label)
        _row_heading(row[0], name)
    titles = [
        "truth",
        *(f"member {place + 1}" for place in range(NUM_SAMPLES)),
        "std of members",
        "|error of mean|",
    ]
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel(x_label)
    for axes in panels.flat:
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.spines[:].set_visible(False)
    bars: dict[str, Any] = {"ax": panels, "pad": 0.01, "aspect": 16 * len(forecasts)}
    figure.colorbar(value_image, **bars, label=field_label)
    label = f"deviation of {field_label}"
    figure.colorbar(deviation_image, **bars, extend="max", label=label)
    return figure


def _deviations(
    members: Float[np.ndarray, "member row column"], truth: Float[np.ndarray, "row column"]
) -> tuple[Float[np.ndarray, "row column"], Float[np.ndarray, "row column"]]:
    """Standard deviation of the members and the absolute error of their mean; NaN where a member is not finite."""
    members = _finite(members)
    return members.std(0, ddof=1), np.abs(members.mean(0) - truth)


def _limits(
    truth: Float[np.ndarray, "time cell"], forecasts: Sequence[Float[np.ndarray, "member time cell"]]
) -> tuple[float, float]:
    """Return limits that hold the truth and the members, as far as these are at most twice as large as it ever is."""
    bound = 2 * np.abs(truth).max()
    values = np.concatenate([np.ravel(each) for each in (truth, *forecasts)])
    seen = values[np.isfinite(values)].clip(-bound, bound)
    low, high = float(seen.min()), float(seen.max())
    margin = 0.1 * (high - low)
    return low - margin, high + margin


def _finite(values: Float[np.ndarray, "member time cell"]) -> Float[np.ndarray, "member time cell"]:
    return np.where(np.isfinite(values), values, np.nan)


def _row_heading(axes: Axes, name: str) -> None:
    axes.annotate(
        fill(name, 18), (0, 0.5), (-50, 0), xycoords="axes fraction", textcoords="offset points",
        rotation=90, ha="center", va="center", weight="bold",
    )  # fmt: skip
