"""What is wrong with data, and what a file holds; read in blocks, so a file may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ups.data.layout import read_layout
from ups.data.splits import initial_hashes
from ups.progress import Progress
from ups.types import Fields, Trajectory, describe_boundaries

CONSERVATION_TOLERANCE = 2e-2
TRAJECTORIES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing to know. An error makes the data unusable, a warning may, a note is often meant to be so."""

    severity: Literal["error", "warning", "note"]
    where: str
    what: str


def check(
    sources: Sequence[Path | Trajectory],
    tolerance: float = CONSERVATION_TOLERANCE,
    progress: Progress = lambda fraction, text: None,
) -> list[Finding]:
    """Look for what spoils training: bad values, frozen frames, repeats, lost mass, uneven time.

    `tolerance` bounds the drift of the mean of a conserved field, max over t of |mean u(t) - mean u(0)|, over the
    root mean square of frame 0. The samples of a shock on a coarse grid drift by up to a hundredth
    even if the solver conserves.

    Raises:
        UserError: a file is missing, damaged, or of another layout.
    """
    findings: list[Finding] = []
    # the hash of an initial condition -> the source and the index where it was first seen
    begun: dict[str, tuple[int, int]] = {}
    names: list[str] = []
    for number, source in enumerate(sources):
        names.append(f"trajectories {number}" if isinstance(source, Trajectory) else str(source))
        if not isinstance(source, Trajectory):
            findings += _uneven(names[-1], Path(source))
        fields, num, blocks = _open(source)
        found = _Found()
        repeats: dict[int, list[tuple[int, int]]] = {}
        for start, values in blocks:
            found.add(start, values, fields, tolerance)
            progress((number + (start + len(values)) / num) / len(sources), Path(names[-1]).name)
            for index, initial in enumerate(initial_hashes(torch.from_numpy(values)), start):
                other, first = begun.setdefault(initial, (number, index))
                if (other, first) != (number, index):
                    repeats.setdefault(other, []).append((index, first))
        findings += found.findings(names[-1])
        for other, pairs in repeats.items():
            where = "earlier in it" if other == number else f"in {names[other]}"
            what = f"{len(pairs)} initial conditions also stand {where}, first {pairs[0][0]} = {pairs[0][1]} there"
            severity = "warning" if other == number else "note"
            findings.append(Finding(severity, names[-1], f"{what}; our splits keep them together"))
    return findings


def inspect(file: Path, progress: Progress = lambda fraction, text: None) -> dict[str, str]:
    """Return what a PDEBench file holds: layout, grid, parameters, and ranges of its values.

    Raises:
        UserError: the file is missing, damaged, or of another layout.
    """
    layout = read_layout(Path(file))
    fields = layout.fields
    (axis,) = fields.grid.axes
    span = f"[{axis.origin:g}, {axis.origin + axis.extent:g}]"
    summary = {
        "file": f"{file} ({Path(file).stat().st_size / 1e6:.1f} MB)",
        "equation": layout.equation or "not recorded",
        "layout": f"{len(layout.groups)} groups" if layout.groups else ", ".join(layout.datasets),
        "trajectories": str(layout.num_trajectories),
        "frames": f"{layout.num_frames}, dt {fields.dt:g}, {len(layout.times)} times from {layout.times[0]:g}",
        "cells": f"{axis.cells} on {span}, {describe_boundaries(fields.grid)}",
    }
    for name, column in zip(fields.params, layout.params.T, strict=True):
        distinct = np.unique(column)
        shown = ", ".join(f"{value:g}" for value in distinct[:8]) + (" ..." if len(distinct) > 8 else "")
        summary[f"parameter {name}"] = shown
    parts = []
    for start, values in layout.blocks(layout.num_trajectories):
        parts.append(_moments(values))
        progress((start + len(values)) / layout.num_trajectories, "")
    moments = np.stack(parts)
    low, high = moments[:, 0].min(0), moments[:, 1].max(0)
    count, total, squares = moments[:, 2:].sum(0)
    for index, name in enumerate(fields.names):
        for place, label in (
            (slice(None), ""),
            (slice(0, 1), " first frame"),
            (slice(-1, None), " last frame"),
        ):
            number = count[place, index].sum()
            mean = total[place, index].sum() / number
            std = np.sqrt(max(0.0, squares[place, index].sum() / number - mean**2))
            span = f"{low[place, index].min():.4g} to {high[place, index].max():.4g}"
            summary[f"{name}{label}"] = f"{span}, mean {mean:.4g}, std {std:.4g}"
    missing = layout.num_trajectories * layout.num_frames * layout.num_cells * len(fields.names) - count.sum()
    if missing:
        summary["NaN or Inf"] = f"{missing:.0f} values, left out of the ranges"
    return summary


def _moments(values: np.ndarray) -> np.ndarray:
    """Return minimum, maximum, count, sum and sum of squares of the finite values [5 time field]."""
    good = np.isfinite(values)
    clean = np.where(good, values, 0).astype(np.float64)
    low = np.where(good, values, np.inf).min((0, 3))
    high = np.where(good, values, -np.inf).max((0, 3))
    return np.stack([low, high, good.sum((0, 3)), clean.sum((0, 3)), (clean**2).sum((0, 3))])


@dataclass
class _Found:
    """What one source showed so far: (trajectory, frame) of bad and of constant frames, and drifts."""

    bad: list[tuple[int, int]] = field(default_factory=list)
    constant: list[tuple[int, int]] = field(default_factory=list)
    drifting: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, start: int, values: np.ndarray, fields: Fields, tolerance: float) -> None:
        finite = np.asarray(np.isfinite(values).all((2, 3)))
        self.bad += _places(start, ~finite)
        self.constant += _places(start, finite & (values.max(-1) == values.min(-1)).any(2))
        for index, name in enumerate(fields.names):
            if name in fields.conserved:
                whole = values[:, :, index].astype(np.float64)
                mean, scale = whole.mean(-1), np.sqrt((whole[:, 0] ** 2).mean(-1))
                with np.errstate(invalid="ignore", divide="ignore"):
                    drift = np.abs(mean - mean[:, :1]).max(1) / scale
                large = np.flatnonzero(drift > tolerance)
                self.drifting.setdefault(name, []).extend((start + int(i), float(drift[i])) for i in large)

    def findings(self, name: str) -> Iterator[Finding]:
        if self.bad:
            yield Finding("error", name, f"NaN or Inf in {_shown(self.bad)}")
        if self.constant:
            yield Finding("warning", name, f"constant in space: {_shown(self.constant)}")
        for conserved, drifts in self.drifting.items():
            if drifts:
                worst, drift = max(drifts, key=lambda pair: pair[1])
                yield Finding(
                    "warning",
                    name,
                    f"the mean of {conserved} should be conserved but drifts in {len(drifts)} trajectories, "
                    f"by up to {drift:.2g} of the initial root mean square (trajectory {worst})",
                )


def _open(source: Path | Trajectory) -> tuple[Fields, int, Iterator[tuple[int, np.ndarray]]]:
    if isinstance(source, Trajectory):
        parts = source.values.split(64)
        return source.fields, len(source), ((64 * i, part.numpy(force=True)) for i, part in enumerate(parts))
    layout = read_layout(Path(source))
    return layout.fields, layout.num_trajectories, layout.blocks(layout.num_trajectories)


def _uneven(name: str, path: Path) -> Iterator[Finding]:
    """Compare the time axis with equal steps and with the number of frames."""
    layout = read_layout(path)
    steps, dt = np.diff(layout.times[: layout.num_frames]), layout.fields.dt
    if not np.allclose(steps, dt, rtol=0.02):
        frame = int(np.abs(steps - dt).argmax())
        what = f"frames are not equally far apart in time: {steps[frame]:g} after frame {frame}, {dt:g} on average"
        yield Finding("error", name, what)


def _places(start: int, which: np.ndarray) -> list[tuple[int, int]]:
    return [(start + int(trajectory), int(frame)) for trajectory, frame in np.argwhere(which)]


def _shown(places: Sequence[tuple[int, int]]) -> str:
    trajectories = sorted({trajectory for trajectory, _ in places})
    shown = ", ".join(map(str, trajectories[:TRAJECTORIES_SHOWN]))
    more = " ..." if len(trajectories) > TRAJECTORIES_SHOWN else ""
    trajectory, frame = places[0]
    return f"{len(places)} frames, first trajectory {trajectory} frame {frame} (trajectories {shown}{more})"
