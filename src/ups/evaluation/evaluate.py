"""Evaluate: every stepper of a ladder under every protocol, as rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.evaluation.metrics import METRICS, MORE_IS_BETTER, Metric
from ups.evaluation.protocols import PROTOCOLS, Protocol, obstacle
from ups.evaluation.rollout import rollout
from ups.evaluation.rows import Columns
from ups.progress import Progress
from ups.streams import stream
from ups.types import Fields, Stepper, Trajectory


@dataclass(frozen=True)
class Scored:
    """One stepper under one protocol: its forecast of the scored frames and the rows made of it."""

    protocol: Protocol
    stepper: str
    prediction: Float[Tensor, "member batch time field *space"]
    rows: Columns

    @property
    def errors(self) -> Float[np.ndarray, "trajectory"]:
        """The protocol's primary metric per trajectory: the mean over frames and fields, infinite where it blew up."""
        values = self.rows["value"][self.rows["metric"] == self.protocol.primary]
        return values.reshape(self.prediction.shape[1], -1).mean(1)

    @property
    def num_blown_up(self) -> int:
        """How many trajectories have a forecast frame that is not finite."""
        return int(self.rows["value"][self.rows["metric"] == "blown_up"].sum())


@dataclass(frozen=True)
class Skipped:
    """One stepper that a protocol cannot question, and why."""

    protocol: Protocol
    stepper: str
    reason: str


def evaluate(
    ladder: Mapping[str, Stepper],
    test: Trajectory,
    protocols: Sequence[Protocol] = PROTOCOLS,
    batch_size: int = 64,
    num_members: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: Progress = lambda fraction, text: None,
    metrics: Mapping[str, Metric] = METRICS,
) -> Iterator[Scored | Skipped]:
    """Score every stepper under every protocol, one after the other as the caller asks for them.

    Nothing is left out in silence: what cannot be scored comes back as `Skipped`, what blows up has infinite rows.
    `num_members` gives the size of the ensemble of stochastic steppers, 1 where a name is missing. The noise of a
    stepper under a protocol is the stream "evaluate/<protocol>/<stepper>" of the seed, drawn batch after batch.
    Steppers and test data must be on the same device.
    """
    num_frames = test.values.shape[1]
    pairs = [(protocol, name) for protocol in protocols for name in ladder]
    for done, (protocol, name) in enumerate(pairs):
        progress(done / len(pairs), f"{protocol.name}: {name}")
        if reason := obstacle(protocol, ladder[name], num_frames):
            yield Skipped(protocol, name, reason)
            continue
        generator = stream(seed, f"evaluate/{protocol.name}/{name}", device=test.values.device)
        members = (num_members or {}).get(name, 1)
        prediction = forecast(ladder[name], test, protocol, batch_size, members, generator)
        yield score_forecast(protocol, name, prediction, test, batch_size, metrics)
    progress(1.0, "")


def forecast(
    stepper: Stepper,
    test: Trajectory,
    protocol: Protocol,
    batch_size: int = 64,
    num_members: int = 1,
    generator: Generator | None = None,
) -> Float[Tensor, "member batch time field *space"]:
    """Return a stepper's forecast of every frame that the protocol scores, in physical units.

    At most `batch_size` states (trajectories times members) are advanced at once.
    """
    size = max(1, batch_size // num_members)
    batches = [test.select(slice(start, start + size)) for start in range(0, len(test), size)]
    return torch.cat(
        [_forecast(stepper, batch, protocol, num_members, generator) for batch in batches], dim=1
    )


def score_forecast(
    protocol: Protocol,
    name: str,
    prediction: Float[Tensor, "member batch time field *space"],
    test: Trajectory,
    batch_size: int = 64,
    metrics: Mapping[str, Metric] = METRICS,
) -> Scored:
    """Score a forecast of every frame that the protocol scores, under a name.

    At most `batch_size` trajectories times members are scored at once.
    """
    size = max(1, batch_size // len(prediction))
    first = protocol.first(test.values.shape[1])
    times = np.arange(first, test.values.shape[1]) * test.fields.dt
    truth = test.values[:, first:]
    parts = [
        score(forecast, target, test.fields, times, place * size, metrics)
        for place, (forecast, target) in enumerate(
            zip(prediction.split(size, dim=1), truth.split(size), strict=True)
        )
    ]
    rows = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    num_rows = len(rows["value"])
    labels = {
        "protocol": np.full(num_rows, protocol.name, dtype=object),
        "stepper": np.full(num_rows, name, dtype=object),
    }
    return Scored(protocol, name, prediction, labels | rows)


def score(
    prediction: Float[Tensor, "member batch time field *space"],
    truth: Float[Tensor, "batch time field *space"],
    fields: Fields,
    times: Float[np.ndarray, "time"],
    first_trajectory: int = 0,
    metrics: Mapping[str, Metric] = METRICS,
) -> Columns:
    """Return the rows of a forecast: columns trajectory, metric, field, time and value.

    A frame with a value that is not finite, in any member, gets the worst value of every metric: inf, or -inf where
    more is better (`correlation_time` counts the frames before it). The metric "blown_up" is 1 for a trajectory that
    has such a frame. A metric that gives NaN for a field whatever the forecast does not apply and has no rows for it.
    `times` are the physical times of the frames.
    """
    finite = prediction.isfinite().flatten(4).all(-1).all(0)
    spoiled = ~finite.reshape(*finite.shape, *(1,) * (truth.ndim - 3))
    prediction = prediction.masked_fill(spoiled, math.nan)
    blank = torch.zeros_like(truth[:1])
    names = np.array(fields.names, dtype=object)
    blown_up = (~finite).flatten(1).any(1, keepdim=True)
    parts = [_rows("blown_up", blown_up.double(), np.array([""], dtype=object), times, first_trajectory)]
    for name, metric in metrics.items():
        applies = ~metric(blank[None], blank, fields).flatten(0, -2).isnan().any(0)
        worst = -math.inf if name in MORE_IS_BETTER else math.inf
        value = metric(prediction, truth, fields)[..., applies].nan_to_num(
            nan=worst, posinf=math.inf, neginf=-math.inf
        )
        parts.append(_rows(name, value, names[applies.cpu().numpy()], times, first_trajectory))
    return {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}


def _forecast(
    stepper: Stepper, batch: Trajectory, protocol: Protocol, num_members: int, generator: Generator | None
) -> Float[Tensor, "member batch time field *space"]:
    num_frames = batch.values.shape[1]
    horizon = protocol.horizon or num_frames
    pieces = []
    for start in range(protocol.first(num_frames), num_frames, horizon):
        context = batch.values[:, start - protocol.num_context : start]
        num_steps = min(horizon, num_frames - start)
        actions = batch.actions
        if actions is not None:
            actions = actions[:, start - protocol.num_context : start + num_steps]
        pieces.append(rollout(stepper, context, batch.params, num_steps, num_members, generator, actions))
    return torch.cat(pieces, dim=2)


def _rows(
    metric: str,
    value: Float[Tensor, "batch time field"] | Float[Tensor, "batch field"],
    names: np.ndarray,
    times: Float[np.ndarray, "time"],
    first_trajectory: int,
) -> Columns:
    if value.ndim == 2:
        value, times = value[:, None], np.array([math.nan])
    trajectory, frame, field = np.indices(value.shape).reshape(3, -1)
    return {
        "trajectory": first_trajectory + trajectory,
        "metric": np.full(value.numel(), metric, dtype=object),
        "field": names[field],
        "time": times[frame],
        "value": value.cpu().numpy().ravel(),
    }
