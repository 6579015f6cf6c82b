"""Figures of calibration: rank histograms, and spread against error in time and by wavenumber.

Every function takes plain arrays by the name of the stepper. The color tells the stepper; the dash is needed to tell
the error that an ensemble makes (solid) from the one that it expects (dashed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ups.evaluation.uncertainty import flatness
from ups.reports.drawing import WIDTH, log_axis, new_figure, tidy
from ups.reports.figures import band
from ups.reports.palette import MUTED, PAGE, TEXT, Style
from ups.statistics.calibration import spread_skill_interval

HIGHEST_BAR = 3.0  # of a rank histogram; what is higher is cut off and its height written
HIGHEST_RATIO = 3.0
NUM_RESAMPLES = 1000
EXPECTED = (0, (3, 1.6))  # the dash of the error that an ensemble expects
SIGNIFICANT = 0.05


class Dispersion(NamedTuple):
    """The metrics `spread` and `squared_error` of each trajectory and frame, in units of the field squared."""

    time: Float[np.ndarray, "time"]
    spread: Float[np.ndarray, "trajectory time"]
    squared_error: Float[np.ndarray, "trajectory time"]


class EnsembleSpectra(NamedTuple):
    """Spread and squared error by wavenumber and the energy of the members, means over trajectories."""

    spread: Float[np.ndarray, "time wavenumber"]
    squared_error: Float[np.ndarray, "time wavenumber"]
    energy: Float[np.ndarray, "time wavenumber"]


def rank_histograms(
    histograms: Mapping[str, Float[np.ndarray, "trajectory rank"]], styles: Mapping[str, Style]
) -> Figure:
    """Rank histogram of each stepper over that of a calibrated ensemble, with intervals and the test of flatness.

    `histograms` hold shares per trajectory; ensembles may differ in size. The bars are 95 % intervals over
    trajectories.
    """
    num_columns = min(4, len(histograms))
    num_lines = -(-len(histograms) // num_columns)
    figure = new_figure(0.3 + 2.3 * num_lines)
    panels = figure.subplots(num_lines, num_columns, squeeze=False, sharex=True, sharey=True)
    top = min(
        HIGHEST_BAR,
        max(1.2, *(1.2 * shares.shape[1] * shares.mean(0).max() for shares in histograms.values())),
    )
    for axes in panels.flat[len(histograms) :]:
        axes.set_visible(False)
    for axes, (name, shares) in zip(panels.flat, histograms.items(), strict=False):
        ink, num_ranks = styles[name].ink.light, shares.shape[1]
        left, height = np.arange(num_ranks) / num_ranks, num_ranks * shares.mean(0)
        axes.bar(left, height, 1 / num_ranks, align="edge", color=ink, alpha=0.45, edgecolor=PAGE.light)
        axes.vlines(left + 0.5 / num_ranks, *band(num_ranks * shares), color=ink, linewidth=1.2)
        axes.axhline(1, color=TEXT.light, linewidth=0.9, linestyle=":")
        axes.set_title(f"{fill(name, 26)}\n{_flat_or_not(shares)}", fontsize=8.5)
        for place in np.flatnonzero(height > top):
            right = place >= num_ranks / 2
            axes.annotate(
                f"{height[place]:.1f}", (left[place] + (0 if right else 1 / num_ranks), 0.97 * top),
                (-3 if right else 3, 0), textcoords="offset points",
                ha="right" if right else "left", va="top", color=ink,
            )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, top), xticks=(0, 0.5, 1))
        tidy(axes)
    for axes in panels[-1]:
        axes.set_xlabel("share of members below the truth")
    for axes in panels[:, 0]:
        axes.set_ylabel("frequency / calibrated")
    return figure


def spread_against_time(
    dispersions: Mapping[str, Dispersion], styles: Mapping[str, Style], field_label: str, time_unit: str
) -> Figure:
    """RMS error of each ensemble's mean and the error it expects against time, and their ratio with a 95 % interval.

    A frame in which a trajectory blew up is not drawn, nor is the spread of a point forecast, which is 0.
    """
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2)
    handles, highest = [], 1.0
    for name, (time, spread, squared_error) in dispersions.items():
        ink, width = styles[name].ink.light, styles[name].width
        error, expected = _root_mean(squared_error), _root_mean(spread)
        left.plot(time, error, color=ink, linewidth=width)
        label = name if np.isfinite(error).all() else f"{name} (diverges)"
        handles.append(Line2D([], [], color=ink, linewidth=width, label=label))
        known = np.flatnonzero((error > 0) & (expected > 0))
        if not len(known):
            continue
        left.plot(time[known], expected[known], color=ink, linewidth=width, linestyle=EXPECTED)
        intervals = [
            spread_skill_interval(spread[:, frame], squared_error[:, frame], NUM_RESAMPLES) for frame in known
        ]
        ratio, low, high = np.transpose(intervals)
        right.plot(time[known], ratio, color=ink, linewidth=width)
        if len(spread) > 1:
            right.fill_between(time[known], low, high, color=ink, alpha=0.18, linewidth=0)
        highest = max(highest, ratio.max())
    for axes in (left, right):
        axes.margins(x=0)
        axes.set_xlabel(f"time t{time_unit}")
    log_axis(left, "y")
    tidy(left)
    left.set_ylabel(f"RMS of {field_label}")
    right.axhline(1, color=TEXT.light, linewidth=0.9, linestyle=":")
    right.set_ylim(0, min(HIGHEST_RATIO, 1.25 * highest))
    tidy(right)
    right.set_ylabel("spread / error (1 is calibrated)")
    _legend(figure, handles)
    return figure


def spread_skill_spectra(
    spectra: Mapping[str, EnsembleSpectra],
    truth: Float[np.ndarray, "time wavenumber"],
    time: Float[np.ndarray, "time"],
    styles: Mapping[str, Style],
    labels: tuple[str, str, str],
) -> Figure:
    """Squared error of the mean and spread by wavenumber at several times; below, the members' energy over the truth's.

    Wavenumber 0, the mean, is left out. The gray band is 10 % about the truth; `labels` are those of the energy, the
    wavenumber and the unit of time.
    """
    energy_label, wavenumber_label, time_unit = labels
    wavenumber = np.arange(1, truth.shape[1])
    figure = new_figure(5.0)
    panels = figure.subplots(2, len(time), squeeze=False, sharex=True, sharey="row", height_ratios=[1.6, 1])
    for column, (above, below) in enumerate(panels.T):
        energy = truth[column, 1:]
        above.plot(wavenumber, energy, color=TEXT.light, linewidth=3.2, alpha=0.35)
        below.axhspan(0.9, 1.1, color=TEXT.light, alpha=0.12, linewidth=0)
        for name, spectrum in spectra.items():
            ink, width = styles[name].ink.light, 0.75 * styles[name].width
            above.plot(wavenumber, spectrum.squared_error[column, 1:], color=ink, linewidth=width)
            above.plot(
                wavenumber,
                _positive(spectrum.spread[column, 1:]),
                color=ink,
                linewidth=width,
                linestyle=EXPECTED,
            )
            below.plot(
                wavenumber, spectrum.energy[column, 1:] / _positive(energy), color=ink, linewidth=width
            )
        above.set_title(f"t = {time[column]:.3g}{time_unit}")
        below.set_xlabel(wavenumber_label)
    shown = truth[:, 1:][truth[:, 1:] > 0]
    if shown.size:  # a truth that is uniform has no energy but in its mean
        panels[0, 0].set_ylim(max(shown.min() / 30, shown.max() * 1e-14), shown.max() * 5)
    panels[0, 0].set_ylabel(energy_label)
    panels[1, 0].set_ylim(1 / 3, 3)
    panels[1, 0].set_ylabel("members / truth")
    for axes in panels.flat:
        log_axis(axes, "x")
        log_axis(axes, "y")
        tidy(axes)
    handles = [Line2D([], [], color=TEXT.light, linewidth=3.2, alpha=0.35, label="energy of the truth")]
    handles += [Line2D([], [], color=styles[name].ink.light, label=name) for name in spectra]
    _legend(figure, handles)
    return figure


def _flat_or_not(shares: Float[np.ndarray, "trajectory rank"]) -> str:
    p_value = flatness(torch.from_numpy(shares)).p_value
    if np.isnan(p_value):
        return "one trajectory: no test"
    value = "p < 0.001" if p_value < 1e-3 else f"p = {p_value:.2g}"
    return f"not flat, {value}" if p_value < SIGNIFICANT else f"flat within noise, {value}"


def _root_mean(square: Float[np.ndarray, "trajectory time"]) -> Float[np.ndarray, "time"]:
    finite = np.isfinite(square).all(0)
    return np.sqrt(np.where(finite, square, np.nan).mean(0))


def _positive(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    return np.where(values > 0, values, np.nan)


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Name the steppers and the two dashes under the figure, in as many columns as fit."""
    handles = [
        *handles,
        Line2D([], [], color=MUTED.light, label="error of the mean"),
        Line2D([], [], color=MUTED.light, linestyle=EXPECTED, label="error it expects (spread)"),
    ]
    longest = max(len(str(handle.get_label())) for handle in handles)
    num_columns = max(1, int(WIDTH / (0.65 + 0.085 * longest)))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(num_columns, len(handles)))
