"""The ladder: rungs from the trivial to ours, all measured on the same trajectories, under the same protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ups.evaluation.cost import cost_rows, measure_cost
from ups.evaluation.evaluate import Scored, Skipped, evaluate, forecast, score_forecast
from ups.evaluation.examples import choose, save_examples
from ups.evaluation.metrics import METRICS
from ups.evaluation.protocols import FROM_INITIAL, PDEBENCH, PROTOCOLS, Protocol
from ups.evaluation.rows import RowStore
from ups.progress import Progress
from ups.types import Stepper, Trajectory

Kind = Literal["trivial", "solver", "peer", "ours", "ceiling"]


@dataclass(frozen=True)
class Rung:
    """One stepper of the ladder and what it is there for."""

    name: str
    kind: Kind
    stepper: Stepper
    training_seconds: float = 0.0


def leading_protocol(num_frames: int) -> Protocol:
    """Return the protocol that validates and ranks: PDEBench's, or the initial frame alone if frames are few."""
    return PDEBENCH if num_frames > PDEBENCH.num_context else FROM_INITIAL


def error(stepper: Stepper, data: Trajectory, protocol: Protocol) -> float:
    """Return the protocol's primary metric, averaged over trajectories; infinite if a forecast blew up."""
    prediction = forecast(stepper, data, protocol)
    value = METRICS[protocol.primary](prediction, data.values[:, protocol.num_context :], data.fields)
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

    The codec ceiling is `reconstruct` applied to the true frames: what an operator without error would score.
    The record says which rungs there are, from low to high, under which protocols they were scored, and which
    could not be and why.
    """
    leading = leading_protocol(test.values.shape[1])
    steppers = {rung.name: rung.stepper for rung in rungs}
    not_scored: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    errors: dict[str, np.ndarray] = {}
    forecasts: dict[str, Tensor] = {}
    scored_protocols: dict[str, Protocol] = {}
    for result in evaluate(steppers, test, PROTOCOLS, seed=store.seed, progress=progress):
        if isinstance(result, Skipped):
            not_scored.setdefault(result.protocol.name, {})[result.stepper] = result.reason
            continue
        scored_protocols[result.protocol.name] = result.protocol
        _keep(store, result, notes)
        if result.protocol is leading:
            errors[result.stepper], forecasts[result.stepper] = result.errors, result.prediction
    for protocol in scored_protocols.values():
        truth = test.values[:, protocol.num_context :]
        _keep(store, score_forecast(protocol, "codec ceiling", reconstruct(truth)[None], test), notes)
    for rung in rungs:
        cost = cost_rows(rung.name, measure_cost(rung.stepper, test), rung.training_seconds)
        store.write(f"cost {rung.name}", cost)
    store.combine()
    ours = next(rung.name for rung in rungs if rung.kind == "ours")
    save_examples(store.run_dir / "examples.npz", forecasts, test, choose(errors[ours]), leading)
    return {
        "ladder": [{"name": rung.name, "kind": rung.kind} for rung in _ascending(rungs, errors)]
        + [{"name": "codec ceiling", "kind": "ceiling"}],
        "protocols": [
            {"name": protocol.name, "description": protocol.description, "metric": protocol.primary}
            for protocol in (leading, *(p for p in PROTOCOLS if p is not leading))
            if protocol.name in scored_protocols
        ],
        "not_scored": not_scored,
        "notes": notes,
    }


def _keep(store: RowStore, scored: Scored, notes: list[str]) -> None:
    store.write(f"{scored.protocol.name} {scored.stepper}", scored.rows)
    if scored.num_blown_up:
        notes.append(
            f"{scored.stepper} blew up on {scored.num_blown_up} of {scored.prediction.shape[1]} trajectories "
            f"({scored.protocol.name})"
        )


def _ascending(rungs: Sequence[Rung], errors: dict[str, np.ndarray]) -> list[Rung]:
    """Order rungs from low to high: trivial, solver, peers from the worst to the best, ours."""
    kinds: tuple[Kind, ...] = ("trivial", "solver", "peer", "ours")
    worst = {name: -float(values.mean()) for name, values in errors.items()}
    return sorted(rungs, key=lambda rung: (kinds.index(rung.kind), worst.get(rung.name, -math.inf)))
