"""Which figures a run folder can give, and what each one's caption tells the reader to see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ups.reports.animation import MOST_FRAMES, animate, panels
from ups.reports.drawing import look, to_png, to_svg
from ups.reports.ensemble_plates import ensemble_figures
from ups.reports.field_figures import planes, space_time, spectra
from ups.reports.figures import (
    accuracy_against_cost,
    error_against_calls,
    error_against_time,
    training_curves,
)
from ups.reports.headline import leader
from ups.reports.ladder_table import LadderTable
from ups.reports.palette import Style, rung_styles
from ups.reports.run_folder import RunFolder
from ups.reports.wording import in_brackets, metric_name

MOST_FIELDS = 3  # images of more fields than this would fill the page
WATCHED = (
    " Blue and orange: the averaged weights on fixed training and held-out windows of the last phase's length; "
    "held-out rising while training falls is overfitting."
)
KEPT = " Dashed: the update whose weights are kept."


class Plate(NamedTuple):
    """A drawn figure: the section it belongs to, its title and caption, and what stands in the page for it."""

    section: str
    stem: str
    """Of its file in `figures/`."""
    title: str
    caption: str
    markup: str
    """Its SVG, or the element of an image that holds its data."""
    suffix: str = "png"


def make_plates(run: RunFolder, tables: Sequence[LadderTable], folder: Path) -> list[Plate]:
    """Draw every figure that the run has data for, write each as PNG into `folder`, and return all of them."""
    folder.mkdir(exist_ok=True)
    styles = rung_styles(run.rungs)
    plates = []
    with look():
        for section, stem, title, caption, figure in _figures(run, tables, styles):
            to_png(figure, folder / f"{stem}.png")
            plates.append(Plate(section, stem, title, caption, to_svg(figure, f"{title}. {caption}")))
        plates += _animations(run, tables[0], folder)
    return plates


def _figures(
    run: RunFolder, tables: Sequence[LadderTable], styles: dict[str, Style]
) -> Iterator[tuple[str, str, str, str, Figure]]:
    for table in tables:
        yield from _error_figure(run, table, styles)
    if run.ensembles:
        yield from ensemble_figures(run, tables[0], styles)
    if run.examples:
        yield from _field_figures(run, tables[0], styles)
    for table in tables[:1]:
        yield from _cost_figure(table, styles)
        yield from _calls_figure(table, styles)
    logged = {key for log in run.logs.values() for row in log for key in row}
    if "loss" in logged:
        yield (
            "training",
            "training",
            "Training of each stage",
            "Above: the loss as a fraction of the loss of a trivial predictor (dotted line at 1, which a stage "
            "that learns nothing keeps); gray is every logged update, dark the running median. Below, where it was "
            "measured: the score on the validation split that picks the weights. Lower is better in both."
            + (WATCHED if "held_out" in logged else "")
            + (KEPT if "validation" in logged else ""),
            training_curves(run.logs),
        )


def _error_figure(
    run: RunFolder, table: LadderTable, styles: dict[str, Style]
) -> Iterator[tuple[str, str, str, str, Figure]]:
    question = table.question
    metric = question.metric if run.measured[question.name, question.metric] else "nrmse"
    first = leader(table)
    unseen = {
        row.rung.name
        for row in table.of_kind("reference")
        if first and row.error.mean < first.error.mean / 100
    }
    curves = {name: curve for name, curve in run.curves(question.name, metric).items() if name not in unseen}
    if any(len(curve.time) > 1 for curve in curves.values()):
        floor = (run.physics.data.truth_floor if run.physics.data else None) or 0.0
        means = np.concatenate([curve.value.mean(0) for curve in curves.values()])
        if metric != "nrmse" or floor < means[means > 0].min(initial=np.inf) / 10:
            floor = 0.0  # far below every curve it would only squeeze them
        ours = [row.rung.name for row in table.of_kind("ours")]
        yield (
            "error",
            f"error_{question.name}",
            f"Error against time, protocol {question.name}",
            f"Mean {metric_name(metric)} of each frame over the test trajectories; the band around ours is "
            "its 95 % interval. A line that rises steadily accumulates error; on the logarithmic axis, parallel lines "
            "differ by a constant factor.",
            error_against_time(curves, styles, ours, metric_name(metric), in_brackets(run.axis.time), floor),
        )


def _shown(run: RunFolder, table: LadderTable) -> list[str]:
    """Return the rungs whose forecasts are drawn: the best baseline, or else the solver, and the one to speak of."""
    first = leader(table)
    wanted = [table.best("baseline") or table.best("solver"), first.rung.name if first else None]
    return [name for name in dict.fromkeys(filter(None, wanted)) if f"forecast/{name}" in run.examples]


def _animations(run: RunFolder, table: LadderTable, folder: Path) -> Iterator[Plate]:
    """Write the forecasts of planes as animations that play in the page."""
    examples, axis = run.examples, run.axis
    if not examples or examples["truth"].ndim != 5 or len(examples["time"]) < 2:
        return
    shown, (x, y) = _shown(run, table), (examples["x"], examples["y"])
    aspect = (np.ptp(x) * len(x) / max(1, len(x) - 1)) / (np.ptp(y) * len(y) / max(1, len(y) - 1))
    for field in range(min(examples["truth"].shape[2], MOST_FIELDS)):
        title = f"Truth, forecast and error of {axis.name(field)}, frame by frame"
        stem = f"animation_{field}"
        found = panels(examples, shown, field)
        markup = animate(
            found, examples["time"], float(aspect), _after(axis.time), folder / f"{stem}.webp", title
        )
        caption = (
            "The median test trajectory. Values share one color scale, and errors one, centered on zero: white is "
            f"exact. At most {MOST_FRAMES} frames."
        )
        yield Plate("fields", stem, title, caption, markup, "webp")


def _field_figures(
    run: RunFolder, table: LadderTable, styles: dict[str, Style]
) -> Iterator[tuple[str, str, str, str, Figure]]:
    examples, axis, shown = run.examples, run.axis, _shown(run, table)
    num_fields, num_axes = examples["truth"].shape[2], examples["truth"].ndim - 3
    has_members = any(row.rung.num_members > 1 for row in table.rows if row.rung.name in shown)
    for field in range(min(num_fields, MOST_FIELDS)):
        labels = (
            f"{axis.name(field)}{in_brackets(axis.unit(field))}",
            f"x{in_brackets(axis.space)}",
            f"t{in_brackets(axis.time)}",
        )
        if num_axes == 2:
            plane_labels = (
                labels[0],
                labels[1],
                f"y{in_brackets(axis.space)}",
                _after(axis.time),
            )
            yield (
                "fields",
                f"planes_{field}",
                f"Truth, forecast and error of {axis.name(field)} on the plane",
                "The median test trajectory at the first, a middle and the last scored time. "
                + ("Of an ensemble its mean is shown. " if has_members else "")
                + "All values share one color scale, and all errors one, centered on zero: white is exact.",
                planes(examples, shown, field, plane_labels),
            )
        if num_axes == 1 and len(examples["time"]) > 1:
            yield (
                "fields",
                f"space_time_{field}",
                f"Truth, forecast and error of {axis.name(field)} in space and time",
                "A good, the median and the worst test trajectory"
                + (f", forecast by {' and by '.join(shown)}. " if shown else ". ")
                + ("Of an ensemble its mean is shown. " if has_members else "")
                + "Time runs upwards. Each row has one color scale for all values and one, centered on zero, for all "
                "errors, so that errors of a row can be compared by eye; white is exact. In brackets: the relative L2 "
                "error of what is shown.",
                space_time(examples, shown, field, labels),
            )
    if "spectrum/truth" in examples:
        for field in range(min(num_fields, MOST_FIELDS)):
            square = f"({axis.unit(field)})²" if axis.unit(field) not in ("", "1") else ""
            labels = (
                f"energy of {axis.name(field)}{in_brackets(square)}",
                "k (cycles per domain)",
                _after(axis.time),
            )
            yield (
                "spectra",
                f"spectra_{field}",
                f"Energy spectra of {axis.name(field)}",
                "Energy per wavenumber at several times; the broad gray line is the truth. A rung that falls "
                "below it at high k smooths the solution, one that rises above it adds grid-scale noise."
                + (" Of an ensemble: the mean energy of its members." if run.ensembles else ""),
                spectra(examples, styles, field, labels),
            )


def _calls_figure(
    table: LadderTable, styles: dict[str, Style]
) -> Iterator[tuple[str, str, str, str, Figure]]:
    rows = [row for row in table.of_kind("trivial", "baseline", "ours") if 0 < row.error.mean < np.inf]
    points = {
        row.rung.name: (row.rung.calls_per_frame, *row.error) for row in rows if row.rung.calls_per_frame
    }
    if len({calls for calls, *_ in points.values()}) > 1:
        references = {
            row.rung.name: row.error.mean
            for row in rows
            if not row.rung.calls_per_frame and (row.rung.kind == "ours" or row.rung.num_members > 1)
        }
        yield (
            "cost",
            "error_calls",
            f"Error against calls of the network, protocol {table.question.name}",
            "Each mark is one way to sample a corrector or its student; the bar is the 95 % interval. The lines draw "
            "no residual by a network: what lies above them is not worth its calls. More ways are scored by "
            "`ups evaluate RUN corrector.num_steps=[1,2,4,8]`.",
            error_against_calls(points, references, styles, metric_name(table.question.metric)),
        )


def _after(unit: str) -> str:
    """Return a unit to stand behind a number; nothing where there is none."""
    return f" {unit}" if unit not in ("", "1") else ""


def _cost_figure(table: LadderTable, styles: dict[str, Style]) -> Iterator[tuple[str, str, str, str, Figure]]:
    points = {
        row.rung.name: (
            row.cost["ms_per_frame"],
            row.error.mean,
            max(row.error.low, row.error.mean / 100),
            row.error.high,
        )
        for row in table.of_kind("trivial", "solver", "baseline", "ours", "", "reference")
        if row.cost.get("ms_per_frame", 0.0) > 0 and 0 < row.error.mean < np.inf
    }
    references = {row.rung.name for row in table.of_kind("reference")}
    if points.keys() - references:
        yield (
            "cost",
            "accuracy_cost",
            f"Accuracy against cost, protocol {table.question.name}",
            "Each mark is one rung: lower is more accurate, further left is faster; the bar is the 95 % "
            "interval of the error. The dotted steps join the rungs that no other rung beats in both"
            + (", the reference left out." if points.keys() & references else "."),
            accuracy_against_cost(points, styles, metric_name(table.question.metric), references),
        )
