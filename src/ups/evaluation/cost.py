"""Cost: the time, the memory and the parameters that a stepper's forecasts take, measured where they run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ups.evaluation.rollout import rollout
from ups.evaluation.rows import Columns, to_columns
from ups.streams import stream
from ups.types import Row, Stepper, Trajectory

LONGEST = 5.0
"""Seconds that are enough to time a rollout."""


class Cost(NamedTuple):
    """What a forecast costs on this machine, encoding and decoding included.

    `ms_per_frame` is milliseconds per trajectory and frame in a batch, `ms_per_frame_single` the median for one
    trajectory alone. `peak_memory_mib` is the most that the batched rollout held beyond what was there before, of the
    process on a CPU, of the device on CUDA, NaN where it cannot be read. `num_parameters` counts trained numbers, 0 for
    a classical solver. An ensemble is charged as one forecast: its time is that of all members.
    """

    ms_per_frame: float
    ms_per_frame_single: float
    peak_memory_mib: float
    num_parameters: int


def measure_cost(
    stepper: Stepper,
    test: Trajectory,
    batch_size: int = 64,
    num_frames: int = 20,
    num_repeats: int = 5,
    num_members: int = 1,
) -> Cost:
    """Measure a rollout of `num_frames` frames over the first trajectories, then over one alone.

    At most `batch_size` states (trajectories times members) are advanced at once. A short rollout goes first, so
    that what is done once (compilation, allocation) is not counted. Where a frame takes long there are fewer of them,
    and fewer repeats: `LONGEST` seconds are enough of either.
    """
    batch = test.select(slice(0, max(1, batch_size // num_members)))
    _seconds(stepper, batch, 1, num_members)
    num_frames = min(num_frames, max(1, int(LONGEST / _seconds(stepper, batch, 1, num_members))))
    held = _reset_peak_memory(test.values.device)
    batched = _seconds(stepper, batch, num_frames, num_members)
    peak = _memory_mib(test.values.device, "VmHWM") - held
    single: list[float] = []
    while len(single) < num_repeats and sum(single) < LONGEST:
        single.append(_seconds(stepper, test.select(slice(0, 1)), num_frames, num_members))
    return Cost(
        ms_per_frame=1e3 * batched / (len(batch) * num_frames),
        ms_per_frame_single=1e3 * statistics.median(single) / num_frames,
        peak_memory_mib=peak,
        num_parameters=num_parameters(stepper),
    )


def cost_rows(stepper: str, cost: Cost, training_seconds: float = 0.0) -> Columns:
    """Return a stepper's cost as rows of the protocol "cost", of no trajectory, field or time.

    One row for each number of `Cost` that is known, and one for `training_seconds`, 0 for what is not trained.
    """
    numbers = cost._asdict() | {"training_seconds": training_seconds}
    return to_columns(
        Row("", "", 0, "cost", stepper, -1, metric, "", math.nan, float(value))
        for metric, value in numbers.items()
        if not math.isnan(value)
    )


def num_parameters(stepper: Stepper) -> int:
    """Return the number of trained numbers in a stepper and in whatever it wraps, each counted once."""
    return sum(
        parameter.numel() for parameter in {id(found): found for found in _parameters(stepper)}.values()
    )


def _parameters(part: Any) -> Iterator[nn.Parameter]:
    if isinstance(part, nn.Module):
        yield from part.parameters()
    elif isinstance(part, list | tuple):
        for item in part:
            yield from _parameters(item)
    elif type(part).__module__.startswith("ups.") or isinstance(part, Stepper):
        for item in vars(part).values():
            yield from _parameters(item)


def _seconds(stepper: Stepper, batch: Trajectory, num_frames: int, num_members: int) -> float:
    device = batch.values.device
    generator = stream(0, "evaluate/cost", device=device)
    context = batch.values[:, : stepper.num_context]
    _wait(device)
    start = time.perf_counter()
    rollout(stepper, context, batch.params, num_frames, num_members, generator, batch.actions)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak_memory(device: torch.device) -> float:
    """Forget the peak so far; return the MiB that are held now, NaN if the next peak cannot be read."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: sets VmHWM back to the present size
    except OSError:
        return math.nan
    return _memory_mib(device, "VmRSS")


def _memory_mib(device: torch.device, which: str) -> float:
    """Return the peak of the device, or a figure of the process; NaN where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next((float(line.split()[1]) for line in lines if line.startswith(which)), math.nan) / 2**10
