"""The overfit watch: the loss on frozen training and held-out windows, and a verdict from its fitted trend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Generator

from ups.statistics.quantiles import student_quantile
from ups.streams import stream
from ups.training.stages import Diagnosed, fraction_left
from ups.training.update import Updater
from ups.types import Trajectory

NUM_BATCHES = 2
"""How many batches of windows are frozen, of each set."""
MIN_POINTS = 5
"""Fewer points have no trend."""
MAX_CORRELATION = 0.95
CONFIDENCE = 0.95


class Trend(NamedTuple):
    """The slope of a straight line through points, with its 95 % interval."""

    slope: float
    low: float
    high: float


def measure(update: Updater, held_out: Trajectory) -> dict[str, float]:
    """Return the loss of the model as it stands on training ("train") and on held-out windows ("held_out").

    Both are fractions of the trivial predictor's loss, on equally many windows of the last phase's length, without
    augmentation. Windows and noise are equal at every call, and both sets share the noise: what moves between two
    calls is the model. What a `Diagnosed` stage says of the held-out windows is added as "held_out/<name>".
    """
    stage = update.stage
    row = {
        "train": fraction_left(stage, _frozen(update, update.train)),
        "held_out": fraction_left(stage, _frozen(update, held_out)),
    }
    if isinstance(stage, Diagnosed):
        found = [stage.diagnose(*batch) for batch in _frozen(update, held_out)]
        row |= {f"held_out/{name}": sum(part[name] for part in found) / len(found) for name in found[0]}
    return row


def finding(rows: Sequence[Mapping[str, Any]], num_updates: int, kept: int) -> str | None:
    """Say that a training overfits, if its log shows it: one sentence with numbers, or None.

    It overfits if over the second half of the points, 5 or more, the trend of log(held-out loss) rises by an
    interval that excludes 0 while the training loss falls. A held-out loss that only falls more slowly than the
    training loss is no fault. What was learned by heart before the second half shows no trend: the figure shows it.
    `num_updates` are those planned; `kept` is the update whose weights are kept.
    """
    names = ("update", "train", "held_out")
    table = np.array([[row.get(name) or 0.0 for name in names] for row in rows]).reshape(-1, len(names))
    update, train, held_out = table[(table[:, 1:] > 0).all(1)].T
    late = slice(len(update) // 2, None)
    if len(update[late]) < MIN_POINTS:
        return None
    rise = trend(update[late], np.log(held_out[late]))
    if rise.low <= 0 or trend(update[late], np.log(train[late])).slope >= 0:
        return None
    percent, low, high = (_two_digits(100 * np.expm1(slope * num_updates / 10)) for slope in rise)
    since = _two_digits(100 * (held_out[-1] / held_out.min() - 1))
    return (
        f"held-out loss rises by {percent} % [{low}, {high}] per tenth of the run while the training loss falls: "
        f"overfitting from update {update[held_out.argmin()]:.0f}, {since} % since then; "
        f"the kept weights are those of update {kept}"
    )


def trend(at: Float[np.ndarray, "n"], values: Float[np.ndarray, "n"]) -> Trend:
    """Fit a straight line by least squares and return its slope with Student's 95 % interval.

    Neighbors in a training curve wander together, which makes a line look surer than it is. So the standard error
    is taken for the effective number of points n (1 - r) / (1 + r), with r the lag-1 correlation of the residuals
    (Santer et al. 2008, doi:10.1002/joc.1756), raised by 1 / n since few points show too little of it, and within
    [0, 0.95]; Student's degrees of freedom are n - 2. Of flat curves of 5 to 20 points a rise is claimed in 2.5 %
    if the noise is white, in 8 % at a correlation of 0.5, in 15 % at 0.8, which so few points cannot tell from one.
    """
    num, x, y = len(at), at - at.mean(), values - values.mean()
    slope = float((x * y).sum() / (x * x).sum())
    residual = y - slope * x
    square = float((residual * residual).sum())
    if square == 0.0:
        return Trend(slope, slope, slope)
    correlation = float((residual[1:] * residual[:-1]).sum()) / square + 1 / num
    correlation = min(max(correlation, 0.0), MAX_CORRELATION)
    inflation = (1 + correlation) / (1 - correlation)
    error = float(np.sqrt(square / (num - 2) / (x * x).sum() * inflation))
    half = student_quantile((1 + CONFIDENCE) / 2, float(num - 2)) * error
    return Trend(slope, slope - half, slope + half)


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _frozen(update: Updater, data: Trajectory) -> Iterator[tuple[Trajectory, Generator]]:
    """Yield windows of `data` as they are, in parts that fit into memory as those of an update do, and the noise."""
    seed, settings = update.seed, update.settings
    size, length = settings.batch_size // settings.accumulation, update.stage.window(1.0)
    name = f"{update.stage.name}/held-out"
    for index in range(NUM_BATCHES * settings.accumulation):
        windows = update.draw(data, size, length, stream(seed, f"{name}/windows", index))
        yield windows.to(update.device), stream(seed, name, index, update.device)
