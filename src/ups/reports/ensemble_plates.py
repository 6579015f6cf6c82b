"""Which figures the ensembles of a run can give, and what each one's caption tells the reader to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from ups.reports.ladder_table import LadderTable
from ups.reports.palette import Style
from ups.reports.run_folder import RunFolder
from ups.reports.sample_figures import sample_fans, sample_images
from ups.reports.uncertainty_figures import (
    Dispersion,
    EnsembleSpectra,
    rank_histograms,
    spread_against_time,
    spread_skill_spectra,
)
from ups.reports.wording import in_brackets

SECTION = "uncertainty"
MOST_FIELDS = 3


def ensemble_figures(
    run: RunFolder, table: LadderTable, styles: Mapping[str, Style]
) -> Iterator[tuple[str, str, str, str, Figure]]:
    """Yield section, stem, title, caption and figure of whatever the run has of its ensembles."""
    arrays = run.ensembles
    names = [row.rung.name for row in table.rows if f"ranks/{row.rung.name}" in arrays]
    ranks = {name: arrays[f"ranks/{name}"].astype(float) for name in names}
    finite = {name: shares[np.isfinite(shares).all(1)] for name, shares in ranks.items()}
    if histograms := {name: shares for name, shares in finite.items() if len(shares)}:
        yield (
            SECTION,
            "rank_histograms",
            "Rank histograms",
            "Where the truth lies among the members, over all cells and frames; a flat histogram (dotted) is "
            "calibrated. Heaps at both ends: too little spread. A dome: too much. A slope: bias. The bars are 95 % "
            "intervals over trajectories, which the test takes for independent, and not cells.",
            rank_histograms(histograms, styles),
        )
    yield from _spread_figure(run, table, styles)
    for field in range(min(arrays["truth"].shape[1], MOST_FIELDS)):
        yield from _sample_figures(run, names, styles, field)


def _spread_figure(
    run: RunFolder, table: LadderTable, styles: Mapping[str, Style]
) -> Iterator[tuple[str, str, str, str, Figure]]:
    spread, error = (run.curves(table.question.name, metric) for metric in ("spread", "squared_error"))
    shown = [
        row.rung.name
        for row in table.rows
        if row.scored and (row.rung.num_members > 1 or row.rung.kind == "ours")
    ]
    axis = run.axis
    label = (
        f"{axis.name(0)}{in_brackets(axis.unit(0))}" if run.ensembles["truth"].shape[1] == 1 else "all fields"
    )
    if run.ensembles["time"].size > 1:
        yield (
            SECTION,
            "spread_time",
            "Spread and error against time",
            "Left: the RMS error of the mean of the members (solid) and the one that they expect (dashed); for a "
            "calibrated ensemble the two coincide. Right: their ratio with its 95 % interval. A point forecast expects "
            "no error.",
            spread_against_time(
                {
                    name: Dispersion(spread[name].time, spread[name].value, error[name].value)
                    for name in shown
                },
                styles,
                label,
                in_brackets(axis.time),
            ),
        )


def _sample_figures(
    run: RunFolder, names: list[str], styles: Mapping[str, Style], field: int
) -> Iterator[tuple[str, str, str, str, Figure]]:
    arrays, axis = run.ensembles, run.axis
    frames = arrays["horizon"] - 1
    x, time, truth = arrays["x"], arrays["time"], arrays["truth"][:, field]
    members = {name: arrays[f"members/{name}"][:, :, field] for name in names}
    label, space = f"{axis.name(field)}{in_brackets(axis.unit(field))}", f"x{in_brackets(axis.space)}"
    at = f" {axis.time}" if axis.time else ""
    reached = ", ".join(str(horizon) for horizon in arrays["horizon"])
    across = " along x, halfway along the other axes" if truth.ndim > 2 else ""
    yield (
        SECTION,
        f"fans_{field}",
        f"Members of {axis.name(field)}",
        f"All members, their mean and the truth of the median trajectory (place {arrays['trajectory']} in the test "
        f"split){across}, {reached} frames after the context. A good ensemble is narrow, and the truth could be one "
        "of it.",
        sample_fans(
            x,
            time[frames],
            _halfway(truth[frames], 2),
            {name: _halfway(each[:, frames], 3) for name, each in members.items()},
            styles,
            (label, space, at),
        ),
    )
    look = (
        "A single member should look like the truth, though not be it; the members should disagree where their mean "
        "is wrong. Values share one color scale, deviations the other."
    )
    if truth.ndim > 2:
        last = frames[-1]
        yield (
            SECTION,
            f"samples_{field}",
            f"Samples of {axis.name(field)} on the plane",
            f"The same trajectory, {arrays['horizon'][-1]} frames after the context. {look}",
            sample_images(
                x,
                arrays["y"],
                _halfway(truth[last], 2).T,
                {name: _halfway(each[:, last], 3).swapaxes(1, 2) for name, each in members.items()},
                (label, space, f"y{in_brackets(axis.space)}"),
                aspect="equal",
            ),
        )
    elif len(time) > 1:
        yield (
            SECTION,
            f"samples_{field}",
            f"Samples of {axis.name(field)} in space and time",
            f"The same trajectory; time runs upwards. {look}",
            sample_images(x, time, truth, members, (label, space, f"t{in_brackets(axis.time)}")),
        )
    spectra = {
        name: EnsembleSpectra(
            arrays[f"spread/{name}"][:, field].astype(float),
            arrays[f"squared_error/{name}"][:, field].astype(float),
            np.nanmean(arrays[f"energy/{name}"][:, :-1, field], axis=0, dtype=float),
        )
        for name in names
        if np.isfinite(arrays[f"spread/{name}"]).all()
    }
    square = f"({axis.unit(field)})²" if axis.unit(field) not in ("", "1") else ""
    yield (
        SECTION,
        f"spread_spectra_{field}",
        f"Spread and error of {axis.name(field)} by wavenumber",
        "Above: the squared error of the mean (solid) and the one expected (dashed) at each wavenumber; where they "
        "meet the energy of the truth (gray), nothing of it can be forecast. Below: the energy of the members over "
        "that of the truth; the band is 10 %. The truth is one draw, so the ratio scatters even for the right "
        "ensemble.",
        spread_skill_spectra(
            spectra,
            arrays["energy/truth"][:, :-1, field].mean(0, dtype=float),
            time[frames],
            styles,
            (f"energy{in_brackets(square)}", "k (cycles per domain)", at),
        ),
    )


def _halfway(values: np.ndarray, num_kept: int) -> np.ndarray:
    """Return values along their first `num_kept` axes, halfway along the others, which are of space."""
    for _ in range(values.ndim - num_kept):
        values = values[..., values.shape[-1] // 2]
    return values
