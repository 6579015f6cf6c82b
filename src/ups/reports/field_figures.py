"""Figures of fields: images of example trajectories on a line and on a plane, and energy spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ups.reports.drawing import log_axis, new_figure, tidy
from ups.reports.palette import TEXT, Style

TRUTH = "truth"


def space_time(
    examples: Mapping[str, np.ndarray],
    forecasts: Sequence[str],
    field: int,
    labels: tuple[str, str, str],
) -> Figure:
    """Truth, forecasts and their errors for the good, the median and the worst trajectory, one row each.

    Values of one trajectory share a color scale and so do its errors; `labels` are those of the field, x and t.
    """
    field_label, x_label, time_label = labels
    num_examples, num_columns = len(examples["truth"]), 1 + 2 * len(forecasts)
    x, time = examples["x"], examples["time"]
    extent = (x[0], x[-1], time[0], time[-1])
    figure = new_figure(0.2 + 2.0 * num_examples)
    panels = figure.subplots(num_examples, num_columns, squeeze=False, sharex=True, sharey=True)
    for line, row in enumerate(panels):
        truth = examples["truth"][line, :, field]
        predictions = [examples[f"forecast/{name}"][line, :, field] for name in forecasts]
        largest = max((_largest(prediction - truth) for prediction in predictions), default=0.0) or 1.0
        values = {
            "cmap": "viridis",
            "vmin": truth.min(),
            "vmax": truth.max(),
            "aspect": "auto",
            "extent": extent,
        }
        errors = values | {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
        value_image = row[0].imshow(truth, **values)
        row[0].set_title(TRUTH, fontsize=8)
        for index, (name, prediction) in enumerate(zip(forecasts, predictions, strict=True)):
            shown, off = row[1 + 2 * index], row[2 + 2 * index]
            shown.imshow(prediction, **values)
            shown.set_title(fill(name, 20), fontsize=8)
            error_image = off.imshow(prediction - truth, **errors)
            size = relative_l2(prediction, truth)
            off.set_title(f"error ({size:.2g})" if np.isfinite(size) else "error (blown up)", fontsize=8)
        if forecasts:
            figure.colorbar(error_image, ax=list(row), pad=0.01, aspect=14, label="error")
        figure.colorbar(value_image, ax=list(row), pad=0.01, aspect=14, label=field_label)
        heading = f"{examples['labels'][line]}\ntrajectory {examples['index'][line]}"
        row[0].set_ylabel(time_label)
        row[0].annotate(
            heading, (0, 0.5), (-50, 0), xycoords="axes fraction", textcoords="offset points",
            rotation=90, ha="center", va="center", weight="bold",
        )  # fmt: skip
    for axes in panels[-1]:
        axes.set_xlabel(x_label)
    for axes in panels.flat:
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.spines[:].set_visible(False)
    return figure


def planes(
    examples: Mapping[str, np.ndarray],
    forecasts: Sequence[str],
    field: int,
    labels: tuple[str, str, str, str],
    example: int = 1,
) -> Figure:
    """Truth, forecasts and their errors on a plane at three times; one row each, of the median trajectory.

    Values share a color scale and so do errors; `labels` are those of the field, x and y, and the unit of time.
    """
    field_label, x_label, y_label, time_unit = labels
    x, y, time = examples["x"], examples["y"], examples["time"]
    frames = list(dict.fromkeys(np.linspace(0, len(time) - 1, 3).round().astype(int)))
    truth = examples["truth"][example, :, field]
    predictions = {name: examples[f"forecast/{name}"][example, :, field] for name in forecasts}
    largest = max((_largest((each - truth)[frames]) for each in predictions.values()), default=0.0) or 1.0
    values = {
        "cmap": "viridis",
        "vmin": truth[frames].min(),
        "vmax": truth[frames].max(),
        "origin": "lower",
        "extent": (*_ends(x), *_ends(y)),
    }
    errors = values | {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    rows = [(TRUTH, truth, values)]
    for name, each in predictions.items():
        rows += [(name, each, values), (f"error of {name}", each - truth, errors)]

    figure = new_figure(0.6 + 1.7 * len(rows))
    panels = figure.subplots(len(rows), len(frames), squeeze=False, sharex=True, sharey=True)
    for row, (name, shown, look) in zip(panels, rows, strict=True):
        for axes, frame in zip(row, frames, strict=True):
            image = axes.imshow(shown[frame].T, **look)  # x runs to the right, y upwards
        row[0].set_ylabel(y_label)
        row[0].annotate(
            fill(name, 20), (0, 0.5), (-50, 0), xycoords="axes fraction", textcoords="offset points",
            rotation=90, ha="center", va="center", weight="bold",
        )  # fmt: skip
        figure.colorbar(
            image, ax=list(row), pad=0.01, aspect=14, label=field_label if look is values else "error"
        )
    for axes, frame in zip(panels[0], frames, strict=True):
        axes.set_title(f"t = {time[frame]:.3g}{time_unit}", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel(x_label)
    for axes in panels.flat:
        axes.spines[:].set_visible(False)
    return figure


def _ends(centres: Float[np.ndarray, "cell"]) -> tuple[float, float]:
    """Return where the first and the last cell end."""
    half = (centres[-1] - centres[0]) / max(1, len(centres) - 1) / 2
    return centres[0] - half, centres[-1] + half


def _largest(error: Float[np.ndarray, "time *grid"]) -> float:
    finite = np.abs(error[np.isfinite(error)])
    return float(finite.max()) if finite.size else 0.0


def relative_l2(prediction: Float[np.ndarray, "time cell"], truth: Float[np.ndarray, "time cell"]) -> float:
    """Return |prediction - truth| / |truth| over all frames and cells shown."""
    return float(np.linalg.norm(prediction - truth) / np.linalg.norm(truth))


def spectra(
    examples: Mapping[str, np.ndarray], styles: Mapping[str, Style], field: int, labels: tuple[str, str, str]
) -> Figure:
    """Energy per wavenumber of the truth and of every rung at several times, averaged over the test split.

    Wavenumber 0, the mean, is left out; `labels` are those of the energy, the wavenumber and the unit of time.
    """
    energy_label, wavenumber_label, time_unit = labels
    time, wavenumber = examples["spectrum_time"], examples["wavenumber"]
    figure = new_figure(3.6)
    panels = figure.subplots(1, len(time), squeeze=False, sharex=True, sharey=True)[0]
    shown = wavenumber > 0
    for column, axes in enumerate(panels):
        truth = examples["spectrum/truth"][column, field, shown]
        axes.plot(wavenumber[shown], truth, color=TEXT.light, linewidth=3.2, alpha=0.35, label=TRUTH)
        for name, (ink, dash, _, width) in styles.items():
            energy = examples.get(f"spectrum/{name}")
            if energy is not None:
                axes.plot(
                    wavenumber[shown], energy[column, field, shown],
                    color=ink.light, linestyle=dash, linewidth=width * 0.75, label=name,
                )  # fmt: skip
        axes.set_title(f"t = {time[column]:.3g}{time_unit}")
        axes.set_xlabel(wavenumber_label)
    reference = examples["spectrum/truth"][:, field][:, shown]
    positive = reference[reference > 0]
    if positive.size:  # a truth that is uniform has no energy but in its mean
        panels[0].set_ylim(max(positive.min() / 30, positive.max() * 1e-14), positive.max() * 5)
    panels[0].set_ylabel(energy_label)
    for axes in panels:
        log_axis(axes, "x")
        log_axis(axes, "y")
        tidy(axes)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)))
    return figure
