"""The ladder: rungs from the trivial to ours, all measured on the same trajectories, under the same protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ups.evaluation.cost import cost_rows, measure_cost
from ups.evaluation.ensembles import Summary, save_ensembles, summarize
from ups.evaluation.evaluate import Scored, Skipped, evaluate, forecast, score_forecast
from ups.evaluation.examples import LABELS, Excerpt, choose, excerpt, save_examples
from ups.evaluation.metrics import METRICS
from ups.evaluation.protocols import FROM_INITIAL, PDEBENCH, PROTOCOLS, Protocol, ranked_by_crps
from ups.evaluation.rows import RowStore
from ups.evaluation.uncertainty import UNCERTAINTY, fair_crps
from ups.progress import Progress
from ups.record import Kind
from ups.streams import stream
from ups.types import Stepper, Trajectory

KINDS: tuple[Kind, ...] = ("trivial", "solver", "baseline", "ours", "reference")


@dataclass(frozen=True)
class Rung:
    """One stepper of the ladder and what it is there for.

    `num_members` is the size of the ensembles that it forecasts, 1 for a point forecast. A "reference" knows what no
    competitor can (the law of the data, for instance): it is measured like the others and stands on none of them.
    """

    name: str
    kind: Kind
    stepper: Stepper
    training_seconds: float = 0.0
    num_members: int = 1


def leading_protocol(num_frames: int) -> Protocol:
    """Return the protocol that validates and ranks: PDEBench's, or the initial frame alone if frames are few."""
    return PDEBENCH if num_frames > PDEBENCH.num_context else FROM_INITIAL


def error(
    stepper: Stepper, data: Trajectory, protocol: Protocol, num_members: int = 1, seed: int = 0
) -> float:
    """Return the protocol's primary metric, averaged over trajectories; infinite if a forecast blew up.

    An ensemble is scored by its fair CRPS. Its noise is the stream "error" of the seed, the same at every call, so
    that the weights of one stepper can be compared as they are trained.
    """
    generator = stream(seed, "error", device=data.values.device)
    prediction = forecast(stepper, data, protocol, num_members=num_members, generator=generator)
    metric = METRICS[protocol.primary] if num_members == 1 else fair_crps
    value = metric(prediction, data.values[:, protocol.first(data.values.shape[1]) :], data.fields)
    return value.mean().nan_to_num(nan=math.inf, posinf=math.inf).item()


def match(
    candidates: Iterable[Stepper], data: Trajectory, protocol: Protocol, target: float
) -> tuple[int, Stepper]:
    """Return the first candidate, and its place, whose error is at most `target`; the most accurate if none is.

    With candidates in ascending order of cost this is the cheapest one that is accurate enough.
    """
    best: tuple[float, int, Stepper] | None = None
    for place, candidate in enumerate(candidates):
        reached = error(candidate, data, protocol)
        if best is None or reached < best[0]:
            best = (reached, place, candidate)
        if reached <= target:
            return place, candidate
    if best is None:
        raise ValueError("no candidates")
    return best[1], best[2]


def measure(
    rungs: Sequence[Rung],
    reconstruct: Callable[[Tensor], Tensor],
    test: Trajectory,
    store: RowStore,
    progress: Progress,
) -> dict[str, Any]:
    """Score every rung under every protocol, write `rows.parquet` and `examples.npz`, and return the record.

    If a rung has members, protocols rank by the fair CRPS, which point forecasts and ensembles share, rows of
    `UNCERTAINTY` are written for every rung, and `ensembles.npz` is. One forecast is held at a time.

    The codec ceiling is `reconstruct` applied to the true frames: what an operator without error would score.
    The record says which rungs there are, from low to high, under which protocols they were scored, and which
    could not be and why.
    """
    has_members = any(rung.num_members > 1 for rung in rungs)
    protocols = [ranked_by_crps(protocol) if has_members else protocol for protocol in PROTOCOLS]
    metrics = METRICS | UNCERTAINTY if has_members else METRICS
    leading = protocols[PROTOCOLS.index(leading_protocol(test.values.shape[1]))]
    first = next(rung for rung in rungs if rung.kind == "ours")  # its errors choose the examples
    results = evaluate(
        {rung.name: rung.stepper for rung in sorted(rungs, key=lambda rung: rung is not first)},
        test,
        protocols,
        num_members={rung.name: rung.num_members for rung in rungs},
        seed=store.seed,
        progress=progress,
        metrics=metrics,
    )
    shown = _Shown(test, leading, store.seed)
    not_scored: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    scored_protocols: list[Protocol] = []
    for result in results:
        if isinstance(result, Skipped):
            not_scored.setdefault(result.protocol.name, {})[result.stepper] = result.reason
            continue
        scored_protocols.append(result.protocol)
        _keep(store, result, notes)
        if result.protocol is leading:
            shown.add(result)
    scored_protocols = [protocol for protocol in protocols if protocol in scored_protocols]
    for protocol in scored_protocols:
        prediction = reconstruct(test.values[:, protocol.first(test.values.shape[1]) :])[None]
        _keep(store, score_forecast(protocol, "codec ceiling", prediction, test, metrics=metrics), notes)
    for rung in rungs:
        cost = measure_cost(rung.stepper, test, num_members=rung.num_members)
        store.write(f"cost {rung.name}", cost_rows(rung.name, cost, rung.training_seconds))
    store.combine()
    shown.save(store.run_dir)
    return {
        "ladder": [_entry(rung) for rung in _ascending(rungs, shown.errors)]
        + [{"name": "codec ceiling", "kind": "reference"}],
        "protocols": [
            {"name": protocol.name, "description": protocol.description, "metric": protocol.primary}
            | ({"mean_metric": PROTOCOLS[protocols.index(protocol)].primary} if has_members else {})
            for protocol in sorted(scored_protocols, key=lambda protocol: protocol is not leading)
        ],
        "not_scored": not_scored,
        "notes": notes,
    }


class _Shown:
    """What the report draws of the leading protocol, taken from each forecast while it is at hand.

    The first forecast added chooses the trajectories that are shown.
    """

    def __init__(self, test: Trajectory, protocol: Protocol, seed: int) -> None:
        self.test, self.protocol, self.seed = test, protocol, seed
        self.index = np.array([], dtype=int)
        self.errors: dict[str, np.ndarray] = {}
        self.excerpts: dict[str, Excerpt] = {}
        self.ensembles: dict[str, Summary] = {}

    def add(self, scored: Scored) -> None:
        name, prediction = scored.stepper, scored.prediction
        self.errors[name] = scored.errors
        if not len(self.index):
            self.index = choose(scored.errors)
        walls = self.test.fields.grid.walls
        self.excerpts[name] = excerpt(prediction, self.index, walls)
        if len(prediction) > 1:
            truth = self.test.values[:, self.protocol.num_context :]
            ties = stream(self.seed, f"evaluate/ranks/{name}", device=truth.device)
            self.ensembles[name] = summarize(prediction, truth, self.median, ties, walls)

    @property
    def median(self) -> int:
        return int(self.index[LABELS.index("median")])

    def save(self, run_dir: Path) -> None:
        save_examples(run_dir / "examples.npz", self.excerpts, self.test, self.index, self.protocol)
        if self.ensembles:
            path = run_dir / "ensembles.npz"
            save_ensembles(path, self.ensembles, self.test, self.median, self.protocol)


def _entry(rung: Rung) -> dict[str, Any]:
    read = getattr(rung.stepper, "frames_read", rung.stepper.num_context)
    entry = {"name": rung.name, "kind": rung.kind, "frames_read": read}
    if calls := getattr(rung.stepper, "calls_per_frame", None):
        entry["calls_per_frame"] = calls
    return entry | {"num_members": rung.num_members} if rung.num_members > 1 else entry


def _keep(store: RowStore, scored: Scored, notes: list[str]) -> None:
    store.write(f"{scored.protocol.name} {scored.stepper}", scored.rows)
    if scored.num_blown_up:
        notes.append(
            f"{scored.stepper} blew up on {scored.num_blown_up} of {scored.prediction.shape[1]} trajectories "
            f"({scored.protocol.name})"
        )


def _ascending(rungs: Sequence[Rung], errors: dict[str, np.ndarray]) -> list[Rung]:
    """Order rungs from low to high: trivial, solver, baselines from the worst to the best, ours as they were given.

    Each rung of ours is built on the one before it, whatever their errors.
    """
    worst = {name: -float(values.mean()) for name, values in errors.items()}

    def place(rung: Rung) -> tuple[int, float]:
        return KINDS.index(rung.kind), 0.0 if rung.kind == "ours" else worst.get(rung.name, -math.inf)

    return sorted(rungs, key=place)
