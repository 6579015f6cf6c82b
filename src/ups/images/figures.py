"""Figures of the image bench: pictures in a grid, distance against calls, loss per noise level, course of training."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.image
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from ups.files import written_whole
from ups.reports.drawing import label_ends, log_axis, new_figure, tidy
from ups.reports.palette import MUTED, RUNG_INKS

INKS = {ink.name: ink for ink in RUNG_INKS}
COLORS = [INKS[name].light for name in ("ours-0", "baseline-0", "baseline-1", "ours-1", "solver-0")]
SCALE = 2
GAP = 2


class Line(NamedTuple):
    """Points of one kind: their name, where they are, and how they are drawn."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: int = 0
    dash: str = "-"


def tile(images: UInt8[np.ndarray, "row column channel height width"]) -> UInt8[np.ndarray, "y x rgba"]:
    """Return a clear sheet with the images in rows and columns, every pixel enlarged to 2 x 2."""
    rows, columns, channels, height, width = images.shape
    large = images.repeat(SCALE, -1).repeat(SCALE, -2)
    if channels == 1:
        large = large.repeat(3, 2)
    step_y, step_x = SCALE * height + GAP, SCALE * width + GAP
    sheet = np.zeros((rows * step_y - GAP, columns * step_x - GAP, 4), np.uint8)
    for row in range(rows):
        for column in range(columns):
            y, x = row * step_y, column * step_x
            place = sheet[y : y + SCALE * height, x : x + SCALE * width]
            place[..., :3], place[..., 3] = large[row, column].transpose(1, 2, 0), 255
    return sheet


def as_grid(
    images: UInt8[np.ndarray, "image channel height width"], columns: int
) -> UInt8[np.ndarray, "y x rgba"]:
    """Return the images line by line, as many lines as they fill."""
    rows = len(images) // columns
    return tile(images[: rows * columns].reshape(rows, columns, *images.shape[1:]))


def write_png(sheet: UInt8[np.ndarray, "y x rgba"], path: Path) -> str:
    """Write a picture as PNG and return it as a data URI, which a page of one file can show."""
    stream = io.BytesIO()
    matplotlib.image.imsave(stream, sheet, format="png", origin="upper")
    with written_whole(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def labeled_rows(rows: Mapping[str, UInt8[np.ndarray, "image channel height width"]], columns: int) -> Figure:
    """Draw the first images of each row from left to right, the name of the row before them."""
    sheet = tile(np.stack([images[:columns] for images in rows.values()]))
    height, width = sheet.shape[:2]
    figure = new_figure(0.2 + 8.2 * height / width)
    axes = figure.add_subplot()
    axes.imshow(sheet, origin="upper", interpolation="none")
    step = (height + GAP) / len(rows)
    axes.set_yticks([step * (place + 0.5) - 0.5 * GAP for place in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    return figure


def distance_against_calls(lines: Sequence[Line], anchors: Mapping[str, float], metric: str) -> Figure:
    """Draw the distance of every sampler against its network calls, both logarithmic, and the anchors as levels."""
    figure = new_figure(4.2)
    axes = figure.add_subplot()
    for line in lines:
        axes.plot(
            line.x, line.y, line.dash, marker="o", markersize=4, color=COLORS[line.color], label=line.name
        )
    finite = [value for line in lines for value in line.y if np.isfinite(value) and value > 0]
    shown = {name: value for name, value in anchors.items() if value > 0}
    log_axis(axes, "x")
    axes.set_yscale("log")
    values = [*finite, *shown.values()]
    if values:
        axes.set_ylim(min(values) / 1.3, max(values) * 1.3)
        log_axis(axes, "y")
    right = axes.get_xlim()[1]
    for value in shown.values():
        axes.axhline(value, color=MUTED.light, linewidth=0.9, linestyle=":")
    axes.set_xlabel("network calls for one image")
    axes.set_ylabel(f"{metric} distance to the test images")
    tidy(axes)
    axes.legend()
    label_ends(figure, axes, [(right, value, name, MUTED.light) for name, value in shown.items()])
    return figure


def loss_by_level(lines: Sequence[Line], levels: Sequence[str]) -> Figure:
    """Draw the loss of the test images for each level of noise, from much noise on the left to little on the right."""
    figure = new_figure(3.2)
    axes = figure.add_subplot()
    for line in lines:
        axes.plot(
            line.x, line.y, line.dash, marker="o", markersize=4, color=COLORS[line.color], label=line.name
        )
    axes.set_yscale("log")
    log_axis(axes, "y")
    axes.set_xticks(range(len(levels)), list(levels))
    axes.set_xlabel("logSNR: much noise on the left, little on the right")
    axes.set_ylabel("squared error of the noise")
    tidy(axes)
    axes.legend()
    return figure


def course(log: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> Figure:
    """Draw the training: loss over the trivial one, gradient norm, and at the milestones traces and, if any, KID."""
    judged = [row for row in log if row.get("fidelity/kid") is not None]
    figure = new_figure(3.0)
    panels = figure.subplots(1, 4 if judged else 3)
    update = [row["update"] for row in log]
    ratio = [_ratio(row) for row in log]
    panels[0].plot(update, ratio, color=MUTED.light, linewidth=0.5, alpha=0.5)
    panels[0].plot(update, _smooth(ratio), color=COLORS[0])
    panels[0].set_title("loss / trivial loss")
    held_out = [(row["update"], row["held_out"]) for row in log if row.get("held_out")]
    if held_out:
        panels[0].plot(*zip(*held_out, strict=True), "o--", color=COLORS[1], markersize=3, label="held out")
        panels[0].legend()
    norms = [row["gradient"] for row in log]
    panels[1].plot(update, norms, color=MUTED.light, linewidth=0.5, alpha=0.5)
    panels[1].plot(update, _smooth(norms), color=COLORS[0])
    panels[1].set_title("gradient norm")
    for number, name in enumerate(objectives):
        key = f"probe/{name}/trace"
        seen = [row for row in log if row.get(key) is not None]
        if seen:
            x, y = [row["update"] for row in seen], [row[key] for row in seen]
            error = [row[f"{key}_sem"] or np.nan for row in seen]  # a single vector has none
            panels[2].errorbar(x, y, error, marker="o", markersize=3, color=COLORS[number], label=name)
    panels[2].set_title("trace, raw weights")
    if panels[2].has_data():
        panels[2].legend(fontsize=7)
    if judged:
        x, y = [row["update"] for row in judged], [row["fidelity/kid"] for row in judged]
        error = [row["fidelity/kid_standard_error"] for row in judged]
        panels[3].errorbar(x, y, error, marker="o", markersize=3, color=COLORS[0])
        panels[3].set_title("KID of the samples")
    for axes in panels:
        axes.set_xlabel("update")
        tidy(axes)
    for axes in panels[:2]:
        axes.set_yscale("log")
        log_axis(axes, "y")
    return figure


def _ratio(row: Mapping[str, Any]) -> float:
    loss, trivial = row.get("loss"), row.get("trivial")
    return loss / trivial if loss is not None and trivial else np.nan


def _smooth(values: Sequence[float], width: int = 9) -> Float[np.ndarray, " n"]:
    """Return the running median."""
    array = np.asarray(values, dtype=float)
    half = width // 2
    return np.array([np.nanmedian(array[max(i - half, 0) : i + half + 1]) for i in range(len(array))])
