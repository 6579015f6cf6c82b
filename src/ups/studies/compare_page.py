"""The page of `ups compare`: report.html (one file), report.md and figures/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from ups.config import Settings, read_tree, validate
from ups.files import sealed, written_whole
from ups.reports.drawing import log_axis, look, new_figure, tidy, to_png, to_svg
from ups.reports.figures import fraction_of_trivial, series
from ups.reports.page import write_page
from ups.reports.palette import RUNG_INKS
from ups.reports.wording import in_brackets, metric_name, signed
from ups.studies.compare import SAME, Comparison, Group, RungDifference

NAME = "comparison.json"
"""The numbers of the page, for programs; it marks the folder as ours."""
INKS = [ink.light for kind in ("ours", "baseline") for ink in RUNG_INKS if ink.name.startswith(kind)]


class Rates(Settings):
    """What an hour costs; an assumption of the reader, not a measurement."""

    per_hour: Annotated[float, Field(ge=0)]
    """Of the machine on which the runs were trained."""
    currency: str = "EUR"
    """In which it is counted."""


class Cost(NamedTuple):
    """What a stage of one group took, the mean over its runs; `times` is against the first group."""

    stage: str
    group: str
    updates: float
    seconds: float
    times: float
    parameters: float
    skipped: float


class Plate(NamedTuple):
    """A figure with its words."""

    title: str
    caption: str
    stem: str
    svg: str


def read_rates(path: Path) -> Rates:
    """Read a settings file of rates.

    Raises:
        UserError: it is missing, malformed or has other settings.
    """
    return validate(Rates, read_tree(path))


def write_comparison(found: Comparison, folder: Path, rates: Rates | None = None) -> None:
    """Write the page into a folder."""
    costs = list(stage_costs(found.groups))
    with look():
        plates = [
            Plate(title, caption, stem, _drawn(figure, folder / "figures" / f"{stem}.png", title))
            for title, caption, stem, figure in _figures(found)
        ]
    content = {
        "name": " against ".join(group.name for group in found.groups),
        "found": found,
        "findings": list(findings(found)),
        "costs": costs,
        "rates": rates,
        "plates": plates,
    }
    write_page(folder, "comparison", content, {"signed": signed, "written": _written})
    numbers = {
        "runs": {group.name: [str(run.path) for run in group.runs] for group in found.groups},
        "differs": {name: [each.path for each in differing] for name, differing in found.differing.items()},
        "protocol": found.question.name,
        "metric": found.question.metric,
        "rungs": [_numbers(line) for line in found.lines],
    }
    with written_whole(folder / NAME) as temporary:
        temporary.write_text(sealed(numbers))


def _numbers(line: RungDifference) -> dict[str, Any]:
    """Return a line of the table as it stands in the file of numbers; what is not known is null."""
    said = line.judgement
    effect = said.effect if said and np.isfinite(said.effect).all() else None
    return {
        "rung": line.rung,
        "run": line.group,
        "error": list(line.error) if np.isfinite(line.error).all() else None,
        "change": list(effect) if effect else None,
        "verdict": said.word if said else None,
        "said": said.text if said else None,
    }


def findings(found: Comparison) -> Iterator[str]:
    """Yield in what every group differs from the first, and what that did to the rung that differs most highly."""
    first = found.groups[0]
    for group in found.groups[1:]:
        names = ", ".join(each.path for each in found.differing[group.name])
        seeds = {run.record.seed for run in group.runs} != {run.record.seed for run in first.runs}
        yield f"{group.name} differs from {first.name} in {names or ('the seed' if seeds else 'nothing')}."
    for line in found.lines:
        if line.judgement is not None and line.rung == found.headline:
            effect = line.judgement.effect
            known = np.isfinite(effect).all() and line.judgement.text != SAME
            change = (
                f" ({signed(effect.mean)} [{signed(effect.low)}, {signed(effect.high)}])" if known else ""
            )
            yield f"{line.rung} of {line.group} against {first.name}: {line.judgement.text}{change}."
    if found.equal:
        yield f"The same numbers in all runs: {', '.join(found.equal)}."


def stage_costs(groups: Sequence[Group]) -> Iterator[Cost]:
    """Yield what every training took."""
    base = _seconds(groups[0])
    for stage in dict.fromkeys(name for group in groups for name in group.first.record.stages):
        for group in groups:
            fitted = [run.record.stages[stage] for run in group.runs if stage in run.record.stages]
            if fitted:
                seconds = float(np.mean([each.seconds for each in fitted]))
                yield Cost(
                    stage,
                    group.name,
                    float(np.mean([each.updates for each in fitted])),
                    seconds,
                    seconds / base[stage] if base.get(stage) else float("nan"),
                    float(np.mean([each.num_parameters for each in fitted])),
                    float(np.mean([each.num_skipped for each in fitted])),
                )


def _seconds(group: Group) -> Mapping[str, float]:
    return {name: fitted.seconds for name, fitted in group.first.record.stages.items()}


def _figures(found: Comparison) -> Iterator[tuple[str, str, str, Figure]]:
    rung, question = found.headline, found.question
    curves = {
        group.name: group.first.curves(question.name, question.metric).get(rung) for group in found.groups
    }
    unit = in_brackets(found.groups[0].first.axis.time)
    if any(curve is not None for curve in curves.values()):
        yield (
            f"Where in time {rung} differs",
            f"Mean {metric_name(question.metric)} over the test trajectories of each run, protocol {question.name}; of "
            "each group the run of the lowest seed.",
            "error",
            _over_time(curves, metric_name(question.metric), unit),
        )
    stages = dict.fromkeys(name for group in found.groups for name in group.first.logs)
    if stages:
        yield (
            "Trainings",
            "Loss as a fraction of the trivial predictor's, the norm of the gradient before clipping, and the "
            "validation score where there is one; each group's run of the lowest seed. Crosses: skipped updates.",
            "training",
            _trainings(found.groups, list(stages)),
        )


def _over_time(curves: Mapping[str, Any], metric: str, unit: str) -> Figure:
    figure = new_figure(3.6)
    axes = figure.add_subplot()
    for ink, (name, curve) in zip(_inks(len(curves)), curves.items(), strict=True):
        if curve is not None:
            mean = curve.value.mean(0)
            axes.plot(curve.time, np.where(mean > 0, mean, np.nan), color=ink, linewidth=1.8, label=name)
    axes.set_xlabel(f"time t{unit}")
    axes.set_ylabel(f"mean {metric}")
    log_axis(axes, "y")
    tidy(axes)
    axes.legend()
    return figure


def _trainings(groups: Sequence[Group], stages: Sequence[str]) -> Figure:
    figure = new_figure(2.2 * 3)
    grid = figure.subplots(3, len(stages), squeeze=False, sharex="col")
    for column, stage in enumerate(stages):
        grid[0, column].set_title(stage)
        for ink, group in zip(_inks(len(groups)), groups, strict=True):
            log = group.first.logs.get(stage, [])
            lines = [fraction_of_trivial(log), series(log, "gradient"), series(log, "validation")]
            for axes, (update, value) in zip(grid[:, column], lines, strict=True):
                if value.size:
                    axes.plot(update, value, color=ink, linewidth=1.2, label=group.name)
            skipped = [row["update"] for row in log if row.get("skipped")]
            if skipped:
                grid[1, column].plot(skipped, np.ones(len(skipped)), "x", color=ink)
        for axes in grid[:, column]:
            axes.set_visible(bool(axes.lines))
            if axes.lines and any(np.any(np.asarray(line.get_ydata()) > 0) for line in axes.lines):
                log_axis(axes, "y")
            tidy(axes)
        shown = [axes for axes in grid[:, column] if axes.get_visible()]
        for axes in shown[-1:]:
            axes.set_xlabel("update")
            axes.tick_params(labelbottom=True)
    for row, label in zip(grid, ("loss / trivial", "gradient norm", "validation"), strict=True):
        for axes in [axes for axes in row if axes.get_visible()][:1]:
            axes.set_ylabel(label)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def _inks(number: int) -> list[str]:
    return [INKS[place % len(INKS)] for place in range(number)]


def _drawn(figure: Figure, path: Path, title: str) -> str:
    to_png(figure, path)
    return to_svg(figure, title)


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
