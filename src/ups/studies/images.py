"""What a study of image runs shows besides its verdict: distances with the anchors, loss per noise level, samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ups.images import figures as image_figures
from ups.images.evidence import Distance, ImageEvidence
from ups.images.figures import Line
from ups.images.report import COLUMNS, Picture, picture
from ups.reports.drawing import look
from ups.reports.run_folder import read_run
from ups.statistics.bootstrap import Interval, bootstrap_mean, paired_bootstrap
from ups.studies.folder import StudyFolder, VariantRuns

WEIGHTS = "ema"


class DistanceLine(NamedTuple):
    """One point of the sweep with the networks of one variant: means over its seeds; `change` is against the base."""

    variant: str
    point: Distance
    frechet: Interval
    kid: Interval
    change: Interval | None


class StudyImages(NamedTuple):
    """The anchors, a line for each variant and point of the sweep, and pictures."""

    protocol: str
    num_samples: str
    frechet: str
    anchors: list[Distance]
    lines: list[DistanceLine]
    pictures: list[Picture]


def write_study_images(study: StudyFolder, folder: Path) -> StudyImages | None:
    """Compare the samples of all variants, and write the pictures into a folder; None if the runs draw none.

    Distances of other features or counts than the base's do not compare, and are left out.
    """
    if study.base.records[0].get("bench") != "images":
        return None
    evidence = {runs.name: _evidence(runs) for runs in study.variants if runs.seeds}
    first = evidence[study.base.name][study.base.seeds[0]]
    return StudyImages(
        first.protocol,
        first.num_samples,
        first.frechet,
        list(first.anchors.values()),
        list(_lines(study, evidence, first)),
        list(_pictures(evidence, first, folder)),
    )


def _evidence(runs: VariantRuns) -> dict[int, ImageEvidence]:
    return {
        seed: ImageEvidence(read_run(folder)) for seed, folder in zip(runs.seeds, runs.folders, strict=True)
    }


def _lines(
    study: StudyFolder, evidence: dict[str, dict[int, ImageEvidence]], first: ImageEvidence
) -> Iterator[DistanceLine]:
    confidence = study.design.decision.confidence
    for point in first.distances:
        scored = {
            name: {
                seed: found
                for seed, each in runs.items()
                for found in each.distances
                if found.name == point.name and each.protocol == first.protocol
            }
            for name, runs in evidence.items()
            if point.sampler
        }
        for name, found in scored.items():
            frechet, kid = (
                _over_seeds([getattr(each, metric) for each in found.values()], confidence)
                for metric in ("frechet", "kid")
            )
            change = _change(found, scored[study.base.name], confidence) if name != study.base.name else None
            if found:
                yield DistanceLine(name, point, frechet, kid, change)


def _over_seeds(values: list[float], confidence: float) -> Interval:
    return bootstrap_mean(np.array(values)[:, None], confidence=confidence)


def _change(found: dict[int, Distance], base: dict[int, Distance], confidence: float) -> Interval | None:
    """Return the relative change of the Frechet distance over the seeds that both have, with its paired interval."""
    seeds = sorted(found.keys() & base.keys())
    mine, other = (np.array([each[seed].frechet for seed in seeds])[:, None] for each in (found, base))
    if not seeds or not np.isfinite([mine, other]).all():
        return None
    removed = paired_bootstrap(mine, other, confidence=confidence)
    return Interval(-removed.mean, -removed.high, -removed.low)


def _pictures(
    evidence: dict[str, dict[int, ImageEvidence]], first: ImageEvidence, folder: Path
) -> Iterator[Picture]:
    """Draw the losses of all variants, and their samples of the first seed with which all finished."""
    best, levels = first.best.name, list(next(iter(first.losses.values())))
    seed = min(set.intersection(*map(set, evidence.values())), default=None)
    samples = {
        name: runs[seed].arrays[f"sweep/{best}"]
        for name, runs in evidence.items()
        if seed is not None and f"sweep/{best}" in runs[seed].arrays
    }
    with look():
        yield picture(
            "loss_levels",
            "Loss of the test images per level of noise",
            "Unweighted, averaged weights, the mean over seeds.",
            image_figures.loss_by_level(list(_losses(evidence)), levels),
            folder,
        )
        if samples:
            yield picture(
                "samples",
                f"Samples, {best}, seed {seed}",
                "A line for each variant, from equal noise; not chosen, the first ones drawn.",
                image_figures.labeled_rows(samples, COLUMNS),
                folder,
            )


def _losses(evidence: dict[str, dict[int, ImageEvidence]]) -> Iterator[Line]:
    for place, (name, runs) in enumerate(evidence.items()):
        values = [list(each.losses[WEIGHTS, "unweighted_loss"].values()) for each in runs.values()]
        mean = np.mean(values, axis=0).tolist()
        yield Line(name, range(len(mean)), mean, place % len(image_figures.COLORS))
