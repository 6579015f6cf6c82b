"""What a file holds, in words; read in blocks, so a file may be larger than memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ups.config import shown
from ups.data.layout import Layout
from ups.progress import Progress
from ups.types import Field, describe_boundaries

VALUES_SHOWN = 8


def inspect(layout: Layout, progress: Progress = lambda fraction, text: None) -> dict[str, str]:
    """Return format, equation, grid and boundaries, parameters, and the ranges of the values of one file.

    Raises:
        UserError: the file is damaged.
    """
    fields, times = layout.fields, layout.times
    summary = {
        "file": f"{layout.path} ({_size(layout.path) / 1e6:.1f} MB)",
        "format": layout.format,
        "equation": layout.equation or "unknown",
        "trajectories": str(layout.num_trajectories),
        "frames": f"{layout.num_frames}, dt {fields.dt:g}{_unit(fields.time_unit)}, "
        f"{len(times)} times from {times[0]:g}",
        "cells": str(fields.grid),
    }
    for axis in fields.grid.axes:
        low, high = axis.origin, axis.origin + axis.extent
        summary[f"axis {axis.name}"] = f"[{low:g}, {high:g}]{_unit(axis.unit)}, {axis.cells} cells"
    summary["boundaries"] = layout.missing.removeprefix(f"{layout.path}: ") or describe_boundaries(
        fields.grid
    )
    for name, column in zip(fields.params, layout.params.T, strict=True):
        summary[f"parameter {shown(name, 40)}"] = _listed(np.unique(column))
    for index, field in enumerate(fields.constants):
        part = None if layout.constants is None else layout.constants[:, index]
        if part is not None:
            summary[f"constant {shown(field.name, 40)}"] = f"{part.min():.4g} to {part.max():.4g}"
    summary |= _ranges(layout, progress)
    if layout.notes:
        summary["not used"] = "; ".join(layout.notes)
    return summary


def _ranges(layout: Layout, progress: Progress) -> dict[str, str]:
    """Return the ranges of each field over all, the first and the last frames, and how many values are not finite."""
    fields, parts, num_values = layout.fields, [], 0
    for start, values in layout.blocks(layout.num_trajectories):
        parts.append(_moments(values))
        num_values += values.size
        progress((start + len(values)) / layout.num_trajectories, "")
    moments = np.stack(parts)
    low, high = moments[:, 0].min(0), moments[:, 1].max(0)
    count, total, squares = moments[:, 2:].sum(0)
    found = {}
    for index, field in enumerate(fields.each):
        for place, label in (
            (slice(None), ""),
            (slice(0, 1), " first frame"),
            (slice(-1, None), " last frame"),
        ):
            number = count[place, index].sum()
            if not number:
                found[f"{shown(field.name, 40)}{label}"] = "no finite value"
                continue
            mean = total[place, index].sum() / number
            std = np.sqrt(max(0.0, squares[place, index].sum() / number - mean**2))
            span = f"{low[place, index].min():.4g} to {high[place, index].max():.4g}"
            more = "" if label else _described(field)
            found[f"{shown(field.name, 40)}{label}"] = f"{span}, mean {mean:.4g}, std {std:.4g}{more}"
    if bad := num_values - count.sum():
        found["NaN or Inf"] = f"{bad:.0f} values, left out of the ranges"
    return found


def _moments(values: np.ndarray) -> np.ndarray:
    """Return minimum, maximum, count, sum and sum of squares of the finite values [5 time field]."""
    over = (0, *range(3, values.ndim))
    good = np.isfinite(values)
    clean = np.where(good, values, 0).astype(np.float64)
    low = np.where(good, values, np.inf).min(over)
    high = np.where(good, values, -np.inf).max(over)
    return np.stack([low, high, good.sum(over), clean.sum(over), (clean**2).sum(over)])


def _described(field: Field) -> str:
    """Return what is known of a field, to be appended to its ranges."""
    known = [
        f"unit {shown(field.unit, 20)}" if field.unit != "1" else "",
        "conserved" if field.conserved else "",
        "positive" if field.positive else "",
        f"{field.axis} of the vector {shown(field.vector, 40)}" if field.vector else "",
    ]
    return "".join(f", {word}" for word in known if word)


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:VALUES_SHOWN]) + (
        " ..." if len(values) > VALUES_SHOWN else ""
    )


def _unit(unit: str) -> str:
    return "" if unit == "1" else f" {shown(unit, 20)}"


def _size(path: Path) -> int:
    parts = path.rglob("*") if path.is_dir() else [path]  # Zarr is a folder
    return sum(part.stat().st_size for part in parts if part.is_file())
