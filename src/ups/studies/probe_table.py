"""Checkpoint x probe objective: what of a change of curvature is the network, and what is only the loss it is seen by.

A weighting that is at most 1 shrinks the loss and, with it, the Hessian of any network. So runs that trained under
different weightings are compared under one objective, and the rescaling is told apart:

    trace(B under b) / trace(A under a) = trace(A under b) / trace(A under a)  x  trace(B under b) / trace(A under b)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter

from ups.evaluation.rows import query, trajectory_scores
from ups.models.noise import Chain, WeightingSettings, mean_weight
from ups.probes.frozen import require_same
from ups.reports.wording import number, percent, signed
from ups.statistics.bootstrap import Interval, bootstrap_mean, paired_bootstrap
from ups.studies.folder import StudyFolder, VariantRuns
from ups.types import UserError

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
    """The table, the mean weight of every objective over the levels of the process, and what it says.

    `fault` says why the runs cannot be compared, if they cannot; then there are no lines.
    """

    objectives: tuple[str, ...]
    mean_weight: dict[str, float]
    other_schedule: dict[str, float]
    """The mean weights with DDPM's other betas; empty for other processes."""
    lines: list[CheckpointLine]
    headlines: list[str]
    sentences: list[str]
    hash: str
    """Of the frozen set that all runs were probed with."""
    fault: str = ""


def probe_table(study: StudyFolder) -> ProbeTable | None:
    """Return the table of the traces of all variants under all objectives that all were probed under.

    Intervals are over seeds and probe vectors; changes are paired in both. None if the runs were not probed, or
    under one objective only.
    """
    first = study.base.records[0].get("weighting", {})
    variants = [runs for runs in study.variants if runs.seeds]
    probed = [_objectives(runs) for runs in variants]
    objectives = tuple(name for name in first.get("mean_weight", {}) if all(name in each for each in probed))
    if len(objectives) < 2:
        return None
    means = {name: first["mean_weight"][name] for name in objectives}
    try:
        require_same({
            folder.name: _probed(folder)["probe_parts"] for runs in variants for folder in runs.folders
        })
    except UserError as differing:
        return ProbeTable(objectives, means, {}, [], [], [], "", str(differing))
    base, *others = found = [_Checkpoint(runs, *study.paired(runs), objectives) for runs in variants]
    canonical, confidence = base.trained_under, study.design.decision.confidence
    explained = [each for each in others if each.differs_from(canonical)]
    return ProbeTable(
        objectives,
        means,
        _other_schedule(variants, objectives),
        [each.line(confidence) for each in found],
        [each.headline(canonical, confidence) for each in explained],
        [each.sentence(canonical, means, confidence) for each in explained],
        _probed(study.base.folders[0])["probe_hash"],
    )


class _Checkpoint:
    """The traces of one variant, and those of it and of the base on the seeds that both have."""

    def __init__(
        self, runs: VariantRuns, mine: VariantRuns, base: VariantRuns, objectives: tuple[str, ...]
    ) -> None:
        self.name, self.is_base = runs.name, runs.name == base.name
        self.trained_under: str = runs.records[0]["weighting"]["trained_under"]
        self.all, self.mine, self.base = (
            {name: _traces(each, name) for name in objectives} if each.seeds else {}
            for each in (runs, mine, base)
        )
        self.levels = _level_traces(base) if base.seeds else {}

    def line(self, confidence: float) -> CheckpointLine:
        traces = {name: bootstrap_mean(values, confidence=confidence) for name, values in self.all.items()}
        pairs = {} if self.is_base else self.mine
        change = {name: _change(values, self.base[name], confidence) for name, values in pairs.items()}
        return CheckpointLine(self.name, self.trained_under, traces, change)

    def differs_from(self, canonical: str) -> bool:
        return self.trained_under != canonical and {self.trained_under, canonical} <= self.mine.keys()

    def headline(self, canonical: str, confidence: float) -> str:
        """Say in short what of the change that shows is the loss, and what the network."""
        own = self.trained_under
        whole, rescaling, network = (
            signed(_change(one, self.base[under], confidence).mean)
            for one, under in (
                (self.mine[own], canonical),
                (self.base[own], canonical),
                (self.mine[own], own),
            )
        )
        return (
            f"{self.name}: {whole} in trace where each run is probed under its own loss; of this the choice of the "
            f"loss makes {rescaling} and the network {network}."
        )

    def sentence(self, canonical: str, means: dict[str, float], confidence: float) -> str:
        """Say how much of the change under the own objective of each is rescaling, and what is left of it."""
        own = self.trained_under
        whole = _change(self.mine[own], self.base[canonical], confidence)
        rescaling = _change(self.base[own], self.base[canonical], confidence)
        network = _change(self.mine[own], self.base[own], confidence)
        common = _change(self.mine[canonical], self.base[canonical], confidence)
        text = (
            f"Each under the loss that it was trained with, {self.name} reads {_said(whole)} in trace against the "
            f"base. The loss alone makes {_said(rescaling)} of it: so much does the trace of the base's own weights "
            f"change when they are probed under '{own}', with no training involved. The weights of {self.name} "
            f"account for {_said(network)} under that loss, and for {_said(common)} under '{canonical}'."
        )
        if whole.high < 0.0 and rescaling.mean < 0.0:
            share = np.log1p(rescaling.mean) / np.log1p(whole.mean)
            more = ", that is, more than all of it: the network itself is sharper" if share > 1.0 else ""
            text += (
                f" On the logarithmic scale {percent(share)} of the apparent flattening is rescaling{more}."
            )
        else:
            text += " There is no flattening beyond noise for the loss to explain."
        level, most = max(self.levels.items(), key=lambda item: item[1])
        even = means[own] / means[canonical] - 1.0
        return (
            f"{text} The mean weights alone say {signed(even)}, as if all levels of noise had the same trace; but "
            f"{percent(most / sum(self.levels.values()))} of the base's trace under '{canonical}' is that of {level}."
        )


def _change(variant: Traces, base: Traces, confidence: float) -> Interval:
    """Return mean(variant) / mean(base) - 1 with its paired interval."""
    removed = paired_bootstrap(variant, base, confidence=confidence)
    return Interval(-removed.mean, -removed.high, -removed.low)


def _said(change: Interval) -> str:
    return f"{signed(change.mean)} [{signed(change.low)}, {signed(change.high)}]"


def describe_weights(table: ProbeTable) -> str:
    """Say the mean weights in one or two sentences."""
    means = ", ".join(f"{number(value)} for '{name}'" for name, value in table.mean_weight.items())
    text = f"Mean weight over the levels of the process: {means}."
    if table.other_schedule:
        other = ", ".join(f"{number(value)} for '{name}'" for name, value in table.other_schedule.items())
        text += f" With DDPM's other schedule of betas: {other}."
    return text


def _other_schedule(variants: Sequence[VariantRuns], objectives: tuple[str, ...]) -> dict[str, float]:
    """Return the mean weights that the objectives would have with the other betas."""
    chosen = [runs.records[0]["settings"] for runs in variants]
    process = chosen[0]["denoiser"]["process"]
    if process["kind"] != "ddpm":
        return {}
    other = Chain(betas="cosine" if process["betas"] == "linear" else "linear").build()
    written = [
        each for settings in chosen for each in (settings["weighting"], *settings["probe"]["objectives"])
    ]
    known = {each.name: each for each in map(TypeAdapter(WeightingSettings).validate_python, written)}
    return {name: mean_weight(other, known[name].build()) for name in objectives if name in known}


def _probed(folder: Path) -> dict[str, Any]:
    """Return the first of the curvatures of a run; its probe set is that of all."""
    return json.loads((folder / "curvature.json").read_text())[0]


def _objectives(runs: VariantRuns) -> set[str]:
    found = query(
        runs.rows, "select distinct protocol from rows where metric = 'trace' and stepper = ?", [WEIGHTS]
    )
    return {str(name).removeprefix(PREFIX) for name in found["protocol"]}


def _traces(runs: VariantRuns, objective: str) -> Traces:
    each = [trajectory_scores(path, f"{PREFIX}{objective}", "trace")[WEIGHTS][0] for path in runs.rows]
    return np.stack(each)


def _level_traces(runs: VariantRuns) -> dict[str, float]:
    """Return the trace on each level of noise under what the runs were trained with, the mean over runs and vectors."""
    found = query(
        runs.rows,
        """select field, avg(value) as value from rows
           where metric = 'level_trace' and protocol = ? and stepper = ? group by field order by field""",
        [f"{PREFIX}{runs.records[0]['weighting']['trained_under']}", WEIGHTS],
    )
    return dict(zip(found["field"].tolist(), found["value"].tolist(), strict=True))
