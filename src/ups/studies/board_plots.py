"""The plots of a board as plain SVG that needs no script: what is pointed at says what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.ticker import LogLocator, MaxNLocator

from ups.reports.drawing import plain_number
from ups.reports.palette import RUNG_INKS
from ups.reports.wording import number

WIDTH, HEIGHT = 720.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 12.0, 44.0


class Tick(NamedTuple):
    """A line of the grid and its number."""

    place: float
    text: str


class Mark(NamedTuple):
    """A point, its color as the name of a CSS variable, and what it says when it is pointed at."""

    x: float
    y: float
    ink: str
    text: str


class Trace(NamedTuple):
    """A line through points, which say their values."""

    name: str
    ink: str
    path: str
    marks: list[Mark]


class Plot(NamedTuple):
    """Points and lines between two axes, in the units of the picture."""

    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[Mark]
    traces: list[Trace]


class Curve(NamedTuple):
    """The error of a rung against time, the mean over test trajectories."""

    name: str
    kind: str
    time: Float[np.ndarray, " frame"]
    error: Float[np.ndarray, " frame"]


class Point(NamedTuple):
    """What a rung costs and how wrong it is."""

    name: str
    kind: str
    cost: float
    error: float


def against_cost(points: Sequence[Point], error: str) -> Plot | None:
    """Return error against milliseconds a frame, both logarithmic; None if there is nothing to place."""
    points = [point for point in points if 0 < point.cost < np.inf and 0 < point.error < np.inf]
    if not points:
        return None
    to_x, x_ticks = _logarithmic([point.cost for point in points], LEFT, WIDTH - RIGHT)
    to_y, y_ticks = _logarithmic([point.error for point in points], HEIGHT - BOTTOM, TOP)
    inks = _inks([point.kind for point in points], each=False)
    marks = [
        Mark(
            to_x(point.cost),
            to_y(point.error),
            ink,
            f"{point.name}: {number(point.error)}, {number(point.cost)} ms per frame",
        )
        for point, ink in zip(points, inks, strict=True)
    ]
    return Plot("ms per frame", error, x_ticks, y_ticks, marks, [])


def against_time(curves: Sequence[Curve], error: str, unit: str) -> Plot | None:
    """Return error against time, the errors logarithmic; None if no curve has two frames with an error."""
    seen = [curve for curve in curves if _shown(curve.error).sum() > 1]
    if not seen:
        return None
    to_x, x_ticks = _linear(np.concatenate([curve.time for curve in seen]), LEFT, WIDTH - RIGHT)
    errors = np.concatenate([curve.error[_shown(curve.error)] for curve in seen])
    to_y, y_ticks = _logarithmic(errors, HEIGHT - BOTTOM, TOP)
    traces = []
    for curve, ink in zip(seen, _inks([curve.kind for curve in seen], each=True), strict=True):
        known = _shown(curve.error)
        marks = [
            Mark(to_x(time), to_y(value), ink, f"{curve.name}: {number(value)} at t = {time:.4g}{unit}")
            for time, value in zip(curve.time[known].tolist(), curve.error[known].tolist(), strict=True)
        ]
        path = " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in marks)
        traces.append(Trace(curve.name, ink, path, marks))
    return Plot(f"t{unit}", error, x_ticks, y_ticks, [], traces)


def _shown(error: Float[np.ndarray, " frame"]) -> Bool[np.ndarray, " frame"]:
    return np.isfinite(error) & (error > 0)


def _logarithmic(
    values: Sequence[float] | np.ndarray, start: float, end: float
) -> tuple[Callable[[float], float], list[Tick]]:
    """Return where a value stands on a logarithmic axis, and its ticks."""
    low, high = np.log10(np.min(values)), np.log10(np.max(values))
    room = max(0.05 * (high - low), 0.1)
    low, high = low - room, high + room

    def place(value: float) -> float:
        return float(start + (end - start) * (np.log10(value) - low) / (high - low))

    found = LogLocator(subs=(1, 2, 5) if high - low < 2.2 else (1,), numticks=12).tick_values(
        10**low, 10**high
    )
    within = [value for value in found if low <= np.log10(value) <= high]
    return place, [Tick(place(value), plain_number(value)) for value in within]


def _linear(values: np.ndarray, start: float, end: float) -> tuple[Callable[[float], float], list[Tick]]:
    """Return where a value stands on a linear axis, and its ticks."""
    low, high = float(values.min()), float(values.max())
    width = high - low or 1.0

    def place(value: float) -> float:
        return float(start + (end - start) * (value - low) / width)

    within = [value for value in MaxNLocator(7).tick_values(low, high) if low <= value <= high]
    return place, [Tick(place(value), f"{value:g}") for value in within]


def _inks(kinds: Sequence[str], each: bool) -> list[str]:
    """Return a color for every rung by its kind; another one for `each` of a kind, as far as there are."""
    names = {
        kind: [ink.name for ink in RUNG_INKS if ink.name.startswith(f"{kind or 'other'}-")] for kind in kinds
    }
    seen: Counter[str] = Counter()
    inks = []
    for kind in kinds:
        own = names[kind] or ["muted"]
        inks.append(own[seen[kind] % len(own) if each else 0])
        seen[kind] += 1
    return inks
