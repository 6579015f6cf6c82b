"""Checkpoint x probe objective: what of a change of curvature is the network, and what is only the loss it is seen by.

A weighting that is at most 1 shrinks the loss and, with it, the Hessian of any network. So runs that trained under
different weightings are compared under one objective, and the rescaling is told apart:

    trace(B under b) / trace(A under a) = trace(A under b) / trace(A under a)  x  trace(B under b) / trace(A under b)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ups.evaluation.rows import query, trajectory_scores
from ups.studies.statistics import Interval, bootstrap_mean, paired_bootstrap
from ups.studies.study_folder import StudyFolder, VariantRuns
from ups.studies.wording import number, percent, signed

PREFIX = "curvature, "
WEIGHTS = "ema"

Traces = Float[np.ndarray, "seed vector"]


class CheckpointLine(NamedTuple):
    """A checkpoint: under what it was trained, and its trace under every objective; `change` is against the base."""

    name: str
    trained_under: str
    traces: dict[str, Interval]
    change: dict[str, Interval]


class ProbeTable(NamedTuple):
    """The table, the mean weight of every objective over the levels of the process, and what it says."""

    objectives: tuple[str, ...]
    mean_weight: dict[str, float]
    lines: list[CheckpointLine]
    sentences: list[str]


def probe_table(study: StudyFolder) -> ProbeTable | None:
    """Return the table of the traces of all variants under all objectives that all were probed under.

    Intervals are over seeds and probe vectors; changes are paired in both. None if the runs were not probed, or
    under one objective only.
    """
    first = study.base.records[0].get("weighting", {})
    probed = [_objectives(runs) for runs in study.variants]
    objectives = tuple(name for name in first.get("mean_weight", {}) if all(name in each for each in probed))
    if len(objectives) < 2:
        return None
    traces = {runs.name: {name: _traces(runs, name) for name in objectives} for runs in study.variants}
    base = traces[study.base.name]
    confidence = study.design.decision.confidence
    lines = [
        CheckpointLine(
            runs.name,
            runs.records[0]["weighting"]["trained_under"],
            {name: bootstrap_mean(mine[name], confidence=confidence) for name in objectives},
            {}
            if runs is study.base
            else {name: _change(mine[name], base[name], confidence) for name in objectives},
        )
        for runs in study.variants
        for mine in [traces[runs.name]]
    ]
    sentences = [
        sentence
        for line in lines[1:]
        for sentence in _sentences(line, lines[0], traces[line.name], base, confidence)
    ]
    return ProbeTable(objectives, {name: first["mean_weight"][name] for name in objectives}, lines, sentences)


def _sentences(
    line: CheckpointLine,
    base: CheckpointLine,
    mine: dict[str, Traces],
    other: dict[str, Traces],
    confidence: float,
) -> list[str]:
    """Say how much of the change under the own objective of each is rescaling, and what is left of it."""
    own, canonical = line.trained_under, base.trained_under
    if own == canonical or not {own, canonical} <= mine.keys():
        return []
    whole = _change(mine[own], other[canonical], confidence)
    rescaling = _change(other[own], other[canonical], confidence)
    network = _change(mine[own], other[own], confidence)
    common = line.change[canonical]
    text = (
        f"Each under the loss that it was trained with, {line.name} reads {_said(whole)} in trace against the base. "
        f"The loss alone makes {_said(rescaling)} of it: so much does the trace of the base's own weights change when "
        f"they are probed under '{own}', with no training involved. The weights of {line.name} account for "
        f"{_said(network)} under that loss, and for {_said(common)} under '{canonical}'."
    )
    if whole.high < 0.0 and rescaling.mean < 0.0:
        share = np.log1p(rescaling.mean) / np.log1p(whole.mean)
        text += f" On the logarithmic scale {percent(share)} of the apparent flattening is rescaling."
    else:
        text += " There is no flattening beyond noise for the loss to explain."
    return [text]


def _change(variant: Traces, base: Traces, confidence: float) -> Interval:
    """Return mean(variant) / mean(base) - 1 with its paired interval."""
    removed = paired_bootstrap(variant, base, confidence=confidence)
    return Interval(-removed.mean, -removed.high, -removed.low)


def _said(change: Interval) -> str:
    return f"{signed(change.mean)} [{signed(change.low)}, {signed(change.high)}]"


def describe_weights(table: ProbeTable) -> str:
    """Say the mean weights in one sentence."""
    means = ", ".join(f"{number(value)} for '{name}'" for name, value in table.mean_weight.items())
    return f"Mean weight over the levels of the process: {means}."


def _objectives(runs: VariantRuns) -> set[str]:
    found = query(
        runs.rows, "select distinct protocol from rows where metric = 'trace' and stepper = ?", [WEIGHTS]
    )
    return {str(name).removeprefix(PREFIX) for name in found["protocol"]}


def _traces(runs: VariantRuns, objective: str) -> Traces:
    each = [trajectory_scores(path, f"{PREFIX}{objective}", "trace")[WEIGHTS][0] for path in runs.rows]
    return np.stack(each)
