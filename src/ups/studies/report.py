"""The report of a study: report.html (one file), report.md and figures/, made from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ups.reports.drawing import look, to_png, to_svg
from ups.reports.page import flatten, write_page
from ups.reports.wording import percent, signed
from ups.statistics.bootstrap import Interval, bootstrap_mean, paired_level
from ups.statistics.families import holm_levels, noise_floor, seeds_needed
from ups.studies.alarms import alarms, copies
from ups.studies.confounds import Confound, Difference, confounds, is_declared, settings_diff, withholding
from ups.studies.figures import Effect, paired_effects
from ups.studies.folder import StudyFolder, VariantRuns, read_study
from ups.studies.images import write_study_images
from ups.studies.probe_table import PREFIX, describe_weights, probe_table
from ups.studies.study import Decision, Design, PrimaryMetric
from ups.studies.verdicts import UNKNOWN, Judgement, can_be_judged, effect_by_seed, judge, rule

TITLE = "Paired effect of every variant"
CAPTION = (
    "Dots: the runs of one seed, variant against base, the mean over {units}; the number is the seed. "
    "Diamond: the mean with its interval over seeds and {units}, which decides. Where the dots scatter more than they "
    "lie to one side, the difference is noise."
)
SHADED = " Shaded: too small to matter."


class VariantLine(NamedTuple):
    """One variant in the table of a study; the base has no judgement."""

    runs: VariantRuns
    error: Interval
    judgement: Judgement | None
    diff: list[tuple[Difference, bool]]
    """The settings that differ from the base's, each with whether the variant declares it."""
    confounds: list[Confound]
    seeds_needed: int | None = None
    """How many paired seeds would find the smallest change that matters."""


class OtherLine(NamedTuple):
    """One variant by a metric other than the first: errors of the base and of the variant, and the judgement."""

    name: str
    metric: PrimaryMetric
    base: Interval
    error: Interval
    judgement: Judgement


class RungLine(NamedTuple):
    """A rung of the base against another of its rungs."""

    name: str
    other: str
    judgement: Judgement


def write_study_report(folder: Path) -> None:
    """Write report.html, report.md and figures/ into the folder of a study whose cells have all ended.

    Raises:
        UserError: it is not the folder of a study, a cell has not ended, or all runs of the base failed.
    """
    study = read_study(folder)
    lines, others, rungs = judged(study)
    probes = probe_table(study)
    units = units_of(study)
    content = {
        "name": folder.resolve().name,
        "design": study.design,
        "rule": rule(study.design.decision, units, len(lines) - 1 + len(others) + len(rungs)),
        "units": units,
        "lines": lines,
        "others": others,
        "rungs": rungs,
        "seeds_wanted": bool(study.design.decision.minimal_percent),
        "probes": probes,
        "images": write_study_images(study, folder / "figures"),
        "answers": [*answers(lines, others, rungs), *(probes.headlines if probes else ())],
        "remarks": list(remarks(study, lines)),
        "title": TITLE,
        "caption": CAPTION.format(units=units) + (SHADED if study.design.decision.minimal_percent else ""),
        "svg": draw(study, lines, folder / "figures" / "effects.png"),
        "provenance": {
            "Settings of the base": list(flatten(study.base_settings)),
            "Versions": list(flatten(study.base.records[0].get("versions", {}))),
            "Machine": list(flatten(study.base.records[0].get("machine", {}))),
        },
    }
    write_page(
        folder, "study_report", content, {"signed": signed, "written": written, "weights": describe_weights}
    )


def units_of(study: StudyFolder) -> str:
    """Return what a run has several values of the metric for."""
    if study.design.metric.protocol.startswith(PREFIX):
        return "probe vectors"
    return "sets of images" if study.base.records[0].get("bench") == "images" else "test trajectories"


def answers(
    lines: Iterable[VariantLine], others: Iterable[OtherLine], rungs: Iterable[RungLine]
) -> list[str]:
    """Return a line for each verdict."""
    found = [f"{line.runs.name}: {answer(line.judgement)}" for line in lines if line.judgement]
    found += [f"{line.name}, by {line.metric}: {answer(line.judgement)}" for line in others]
    return found + [f"{rung.name} against {rung.other}: {answer(rung.judgement)}" for rung in rungs]


def judged(study: StudyFolder) -> tuple[list[VariantLine], list[OtherLine], list[RungLine]]:
    """Judge every variant against the base by every metric, and the rungs of the base that have to pay.

    All verdicts are one family (Holm).
    """
    design = study.design
    metrics = (design.metric, *design.also)
    asked = {
        ("variant", runs.name, str(metric)): study.paired(runs.by(metric))
        for runs in study.variants[1:]
        for metric in metrics
    } | {
        ("rung", name, ""): (study.base.of(name), study.base.of(other)) for name, other in design.pays.items()
    }
    testable = {
        key: paired_level(mine.scores, base.scores)
        for key, (mine, base) in asked.items()
        if can_be_judged(mine.scores, base.scores)
    }
    levels = dict(
        zip(testable, holm_levels(list(testable.values()), 1.0 - design.decision.confidence), strict=True)
    )

    def decision(kind: str, name: str, metric: PrimaryMetric | str = "") -> Decision:
        level = levels.get((kind, name, str(metric)), 1.0 - design.decision.confidence)
        return design.decision.model_copy(update={"confidence": 1.0 - level})

    lines = [
        variant_line(study, runs, decision("variant", runs.name, design.metric)) for runs in study.variants
    ]
    others = [
        OtherLine(
            line.runs.name,
            metric,
            error_of(study.base.by(metric), design),
            error_of(line.runs.by(metric), design),
            judge_variant(study, line.runs, metric, decision("variant", line.runs.name, metric)),
        )
        for metric in design.also
        for line in lines[1:]
    ]
    better = design.metric.smaller_is_better
    rungs = [
        RungLine(name, design.pays[name], judge(mine.scores, other.scores, decision("rung", name), better))
        for (kind, name, _), (mine, other) in asked.items()
        if kind == "rung"
    ]
    return lines, others, rungs


def variant_line(study: StudyFolder, runs: VariantRuns, decision: Decision) -> VariantLine:
    """Judge one variant against the base, on the seeds with which both finished, and find what else differs."""
    design = study.design
    error = error_of(runs, design)
    if runs is study.base:
        return VariantLine(runs, error, None, [], [])
    mine, base = study.paired(runs)
    diff = settings_diff(base.records[0], mine.records[0]) if mine.seeds else []
    return VariantLine(
        runs,
        error,
        judge_variant(study, runs, design.metric, decision),
        [(difference, is_declared(difference.path, runs.assignments)) for difference in diff],
        confounds(base.records, mine.records, runs.assignments),
        needed(mine, base, design),
    )


def judge_variant(
    study: StudyFolder, runs: VariantRuns, metric: PrimaryMetric, decision: Decision
) -> Judgement:
    """Judge one variant against the base by one metric; a confound withholds the verdict, a failed run is named."""
    mine, base = study.paired(runs.by(metric))
    judgement = judge(mine.scores, base.scores, decision, metric.smaller_is_better)
    found = confounds(base.records, mine.records, runs.assignments)
    if reason := objection(mine, base, found):
        judgement = Judgement("no verdict", f"no verdict: {reason}", UNKNOWN)
    if failed := [*named(runs), *named(study.base)]:
        judgement = judgement._replace(text=f"{judgement.text}; {', '.join(failed)}")
    return judgement


def error_of(runs: VariantRuns, design: Design) -> Interval:
    """Return the mean metric of the runs of one variant, with its interval."""
    return bootstrap_mean(runs.scores, confidence=design.decision.confidence) if runs.seeds else UNKNOWN


def needed(mine: VariantRuns, base: VariantRuns, design: Design) -> int | None:
    """Return how many seeds would find the smallest change that matters; None where nobody said what matters."""
    smallest = design.decision.minimal_percent / 100.0
    if not smallest or mine.scores.shape != base.scores.shape or not mine.scores.size:
        return None
    changes = effect_by_seed(mine.scores, base.scores, design.metric.smaller_is_better)
    return seeds_needed(changes, smallest, 1.0 - design.decision.confidence)


def objection(mine: VariantRuns, base: VariantRuns, found: list[Confound]) -> str:
    """Return why two sets of runs cannot be compared; "" if they can."""
    if mine.kept == ():
        return "the variant was tested on other trajectories than the base"
    settings = mine.records[0]["settings"] if mine.records else {}
    is_cost = mine.metric.protocol == "cost"
    if held := withholding(found, mine.assignments, settings, is_cost):
        names = ", ".join(dict.fromkeys(confound.path for confound in held))
        return f"confounded by {names}"
    for runs in (mine, base):
        if (pair := copies(runs)) is not None:
            return f"seeds {pair[0]} and {pair[1]} of {runs.name} have the same numbers: they are one run, not two"
    return ""


def named(runs: VariantRuns) -> Iterator[str]:
    """Name the runs of a variant that failed, in a few words."""
    if runs.failures:
        seeds = ", ".join(map(str, runs.failures))
        yield f"{runs.name} failed with seed{'s' if len(runs.failures) > 1 else ''} {seeds}"


def answer(judgement: Judgement) -> str:
    """Say a judgement with its interval where the text has none."""
    if (
        judgement.word in ("within noise", "not enough seeds")
        and judgement.effect.mean == judgement.effect.mean
    ):
        return f"{judgement.text} ({signed(judgement.effect.mean)}, {signed_interval(judgement.effect)})"
    return judgement.text


def remarks(study: StudyFolder, lines: list[VariantLine]) -> Iterator[str]:
    """Yield what a reader must know beside the verdicts."""
    for runs in study.variants:
        for seed, reason in runs.failures.items():
            yield (
                f"The run of {runs.name} with seed {seed} failed: {reason}. No figure here counts it; `ups study` with "
                "the same definition tries it again."
            )
    for line in lines[1:]:
        mine, base = study.paired(line.runs)
        shown = {len(tested) for tested in (*mine.tested, *base.tested)}
        if mine.kept and shown != {len(mine.kept)}:
            yield (
                f"{line.runs.name} and the base are compared on the {len(mine.kept)} test trajectories that both were "
                f"shown, of up to {max(shown)}."
            )
    for line in lines:
        if line.confounds:
            names = ", ".join(dict.fromkeys(confound.path for confound in line.confounds))
            yield f"{line.runs.name} differs from the base in more than it declares: {names}."
    yield from floor(study)
    yield from alarms(study)


def floor(study: StudyFolder) -> Iterator[str]:
    """Say how far two runs of the base lie apart that differ in nothing but the seed."""
    if study.base.scores.size:
        apart = noise_floor(study.base.scores.mean(1))
        if apart == apart:
            yield (
                f"Two runs of the base that differ in the seed alone differ by {percent(apart)}, typically "
                f"({len(study.base.seeds)} seeds); a change that was seen once says nothing below that."
            )


def draw(study: StudyFolder, lines: list[VariantLine], path: Path) -> str:
    """Draw the paired effects, write the PNG and return the SVG."""
    design, effects = study.design, []
    for line in lines[1:]:
        mine, base = study.paired(line.runs)
        if line.judgement and mine.scores.size and mine.scores.shape == base.scores.shape:
            found = effect_by_seed(mine.scores, base.scores, design.metric.smaller_is_better)
            by_seed = np.full(len(design.seeds), np.nan)
            by_seed[[design.seeds.index(seed) for seed in mine.seeds]] = found
            effects.append(Effect(line.runs.name, line.judgement.effect, by_seed))
    with look():
        figure = paired_effects(effects, design.seeds, design.decision.minimal_percent)
        to_png(figure, path)
        return to_svg(figure, TITLE)


def signed_interval(effect: Interval) -> str:
    """Write the ends of an interval of changes in per cent."""
    return f"[{signed(effect.low)}, {signed(effect.high)}]"


def written(value: object) -> str:
    """Write a setting as it stands in a file of settings."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
