"""The report of a run of the image bench: report.html (one file), report.md and figures/, from the run folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ups.images import figures as image_figures
from ups.images.evidence import ImageEvidence
from ups.images.figures import Line
from ups.reports.drawing import look, to_png, to_svg
from ups.reports.page import flatten, write_page
from ups.reports.run_folder import read_run
from ups.reports.wording import number, percent

COLUMNS = 12


class Picture(NamedTuple):
    """A figure of the page: SVG, or a PNG as data URI."""

    stem: str
    title: str
    caption: str
    svg: str = ""
    data: str = ""


def picture(stem: str, title: str, caption: str, figure: Figure, folder: Path) -> Picture:
    """Write a figure as PNG and return it for the page; inside `look()`."""
    to_png(figure, folder / f"{stem}.png")
    return Picture(stem, title, caption, svg=to_svg(figure, f"{title}. {caption}"))


def write_image_report(folder: Path) -> None:
    """Write report.html, report.md and figures/ of a run of the image bench.

    Raises:
        UserError: the folder is not that of a run whose samples and curvature were measured.
    """
    evidence = ImageEvidence(read_run(folder))
    record = evidence.record
    stated = record.model_dump(mode="json")
    with look():
        pictures = list(make_pictures(evidence, folder / "figures"))
    content = {
        "name": folder.resolve().name,
        "record": record,
        "evidence": evidence,
        "findings": list(findings(evidence)),
        "pictures": pictures,
        "provenance": {
            title: list(flatten(stated[key]))
            for key, title in (("settings", "Settings"), ("versions", "Versions"), ("machine", "Machine"))
        },
    }
    write_page(folder, "image_report", content)


def findings(evidence: ImageEvidence) -> Iterator[str]:
    """Yield the sentences at the head of the page."""
    best, noise, train = evidence.best, evidence.anchors["noise"], evidence.anchors["train"]
    factor = noise.frechet / best.frechet
    yield (
        f"Best of the sweep: {best.name}, {best.num_calls:.0f} calls, {evidence.frechet} distance "
        f"{number(best.frechet)}, {number(factor, 2)} times below noise ({number(noise.frechet)}); training images "
        f"score {number(train.frechet)}."
    )
    if factor < 2.0:
        yield "That is near noise: a fault of training, sampler or features, not a result about any of them."
    setbacks = {name: pairs for name, pairs in evidence.setbacks.items() if pairs}
    for name, pairs in setbacks.items():
        said = ", ".join(f"{more} than {few}" for few, more in pairs)
        yield f"More steps of {name} are worse, beyond two standard errors of the kernel distance: {said}."
    if right := [name for name in evidence.setbacks if name not in setbacks]:
        yield f"More steps are never worse beyond two standard errors of the kernel distance: {', '.join(right)}."
    skill = evidence.run.record.stages["denoiser"].skill
    yield (
        f"The trained loss is {percent(skill)} of that of the best denoiser that knows nothing but the mean and the "
        "spread of the pixels."
    )
    weighting = evidence.record.weighting
    means = weighting["mean_weight"]
    under = weighting["trained_under"]
    yield f"Trained under: {under}, whose mean weight over the levels is {number(means[under])}."
    traces = {each.objective: each for each in evidence.probed if each.weights == "ema"}
    (canonical, *others) = list(means)
    for other in others:
        if {canonical, other} <= traces.keys():
            ratio = traces[other].figures["trace"] / traces[canonical].figures["trace"]
            yield (
                f"The same weights (ema) have a trace of {number(traces[canonical].figures['trace'])} under "
                f"'{canonical}' and of {number(traces[other].figures['trace'])} under '{other}': the choice of the "
                f"objective alone changes it by {percent(ratio - 1.0)}, the mean weight of {number(means[other])} by "
                f"{percent(means[other] / means[canonical] - 1.0)}."
            )


def make_pictures(evidence: ImageEvidence, folder: Path) -> Iterator[Picture]:
    """Draw every figure, write it as PNG, and yield it for the page; inside `look()`."""
    arrays, best = evidence.arrays, evidence.best
    sheets = {
        "samples": (
            arrays[f"sweep/{best.name}"],
            f"Samples, {best.name}",
            f"Not chosen: the first ones drawn, {best.num_calls:.0f} calls each.",
        ),
        "test": (arrays["test"], "Test images", evidence.record.data["description"] + "."),
    }
    for stem, (images, title, caption) in sheets.items():
        data = image_figures.write_png(image_figures.as_grid(images, COLUMNS), folder / f"{stem}.png")
        yield Picture(stem, title, caption, data=data)
    strips = {name: images for name, images in arrays.items() if name.startswith("strip/")}
    for name, images in list(strips.items())[-1:]:
        stem = "strip_" + name.removeprefix("strip/").replace(" ", "_")
        data = image_figures.write_png(image_figures.tile(images), folder / f"{stem}.png")
        yield Picture(
            stem,
            f"From noise to image, {name.removeprefix('strip/')}",
            "Each line is one image: what the network takes it for at evenly spaced calls, the sample last.",
            data=data,
        )
    course = {
        int(name.split("/")[1]): images for name, images in arrays.items() if name.startswith("milestone/")
    }
    if course:
        shown = np.stack([course[update][:COLUMNS] for update in sorted(course)])
        data = image_figures.write_png(image_figures.tile(shown), folder / "milestones.png")
        updates = ", ".join(map(str, sorted(course)))
        yield Picture(
            "milestones",
            "Samples during training",
            f"A line each after updates {updates}, from equal noise.",
            data=data,
        )
    for stem, title, caption, figure in _drawn(evidence):
        yield picture(stem, title, caption, figure, folder)


def _drawn(evidence: ImageEvidence) -> Iterator[tuple[str, str, str, Figure]]:
    arrays, best = evidence.arrays, evidence.best
    points = [each for each in evidence.distances if each.sampler]
    samplers = list(dict.fromkeys(each.sampler for each in points))
    lines = []
    for number_, sampler in enumerate(samplers):
        for weights, dash in (("ema", "-"), ("raw", "--")):
            mine = [each for each in points if (each.sampler, each.weights) == (sampler, weights)]
            if mine:
                calls, values = [each.num_calls for each in mine], [each.frechet for each in mine]
                lines.append(Line(f"{sampler}, {weights}", calls, values, number_, dash))
    anchors = {name: each.frechet for name, each in evidence.anchors.items()}
    yield (
        "distance_calls",
        "Distance against network calls",
        f"{evidence.protocol} images. Dotted: the anchors; the number of samples alone keeps training images from 0.",
        image_figures.distance_against_calls(lines, anchors, evidence.frechet.capitalize()),
    )
    weights = best.weights
    rows = {
        f"{each.sampler} {each.num_steps}": arrays[f"sweep/{each.name}"]
        for each in points
        if each.weights == weights
    }
    yield (
        "sweep",
        f"Samples of every sampler and number of steps, {weights}",
        "Every column begins with the same noise: samplers that follow the same path meet in the same image.",
        image_figures.labeled_rows(rows, COLUMNS),
    )
    names = list(next(iter(evidence.losses.values())))
    lines = [
        Line(
            f"{metric.removesuffix('_loss')}, {weights}",
            range(len(names)),
            list(levels.values()),
            color,
            dash,
        )
        for (weights, metric), levels in evidence.losses.items()
        for color, dash in [
            (("unweighted_loss", "weighted_loss").index(metric), "-" if weights == "ema" else "--")
        ]
    ]
    yield (
        "loss_levels",
        "Loss of the test images per level of noise",
        "Unweighted, and as the training weights it. Under the unweighted noise error the two are the same.",
        image_figures.loss_by_level(lines, names),
    )
    log = evidence.run.logs.get("denoiser", [])
    if log:
        yield (
            "course",
            "The course of training",
            "Loss as a fraction of the trivial predictor's; gradient norm before clipping; at the milestones the trace "
            "of the Hessian on the frozen probe set, and the kernel distance of samples with averaged weights, each "
            "with its standard error.",
            image_figures.course(log, list(evidence.record.weighting["mean_weight"])),
        )
