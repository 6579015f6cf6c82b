"""The sweep of one checkpoint over samplers and numbers of steps: samples, their distances, and the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from ups.config import Settings
from ups.diffusion.denoiser import Posterior
from ups.images.anchors import anchors
from ups.images.features import Extractor
from ups.images.fidelity import Fidelity, fidelity, frechet_bias, kid
from ups.images.sampling import Road, Sampler, draw
from ups.streams import stream
from ups.types import Row

Weights = Literal["ema", "raw"]


class Sweep(Settings):
    """Which samplers are asked, at how many steps, with which weights, and for how many images."""

    samplers: Annotated[tuple[Sampler, ...], Field(min_length=1, fail_fast=True)] = (
        "ddim",
        "ancestral",
        "heun",
        "dpmpp_2m",
    )
    """The flow maps."""
    steps: Annotated[tuple[PositiveInt, ...], Field(min_length=1, fail_fast=True)] = (5, 10, 20, 50)
    """Numbers of steps, K."""
    weights: Annotated[tuple[Weights, ...], Field(min_length=1, fail_fast=True)] = ("ema", "raw")
    """Averaged weights, and those of the last update."""
    num_samples: PositiveInt = 256
    """Images for each distance; more of them than features."""
    batch_size: PositiveInt = 64
    """Images at once."""
    seed: NonNegativeInt = 0
    """Of the noise; the same in all runs that are compared."""


@dataclass(frozen=True)
class Judge:
    """What samples are held against: features, the test images' features, and how the anchors do."""

    extractor: Extractor
    reference: Float[Tensor, "reference feature"]
    anchors: list[Fidelity]
    bias: dict[int, float]
    """Frechet distance between two disjoint halves of the test images, by their size: what is no difference."""

    def glance(self, images: Float[Tensor, "image channel height width"]) -> dict[str, float]:
        """Return the kernel distance, which few images do not bias, with its standard error, for a log."""
        found = kid(self.extractor(images), self.reference)
        return {"fidelity/kid": found.value, "fidelity/kid_standard_error": found.standard_error}


@dataclass(frozen=True)
class Scored:
    """One point of the sweep."""

    sampler: Sampler
    num_steps: int
    weights: Weights
    num_calls: int
    fidelity: Fidelity
    images: Float[Tensor, "image channel height width"]

    @property
    def stepper(self) -> str:
        """The name in the rows: "ddim 50 ema"."""
        return name(self.sampler, self.num_steps, self.weights)


def name(sampler: str, num_steps: int, weights: str) -> str:
    """Return what a point of the sweep is called in rows."""
    return f"{sampler} {num_steps} {weights}"


def judge(
    extractor: Extractor,
    train: Float[Tensor, "image channel height width"],
    test: Float[Tensor, "other channel height width"],
    num_samples: int,
    seed: int,
) -> Judge:
    """Return the judge for `num_samples` samples against the whole test split.

    Raises:
        UserError: there are fewer training images than samples, or too few samples for the features.
    """
    reference = extractor(test)
    found = anchors(extractor, train, reference, num_samples, stream(seed, "anchors"))
    largest = len(test) // 2
    sizes = [size for size in (largest // 4, largest // 2, largest) if size > extractor.num_features]
    return Judge(extractor, reference, found, frechet_bias(reference, sizes, stream(seed, "bias")))


def sweep(
    settings: Sweep,
    denoisers: Mapping[Weights, Posterior],
    shape: tuple[int, ...],
    judged_by: Judge,
    device: torch.device,
    progress: Callable[[float, str], None],
) -> list[Scored]:
    """Score every sampler at every number of steps with every kind of weights, from the same noise."""
    points = [(w, s, k) for w in settings.weights for s in settings.samplers for k in settings.steps]
    work = [num_steps * (2 if sampler == "heun" else 1) for _, sampler, num_steps in points]
    scored = []
    for index, (weights, sampler, num_steps) in enumerate(points):
        label = name(sampler, num_steps, weights)
        progress(sum(work[:index]) / sum(work), label)
        road = Road(denoisers[weights], sampler, num_steps, shape, settings.seed, device)
        drawn = draw(road, settings.num_samples, settings.batch_size)
        extractor = judged_by.extractor
        distance = fidelity(extractor.name, label, extractor(drawn.images), judged_by.reference)
        scored.append(Scored(sampler, num_steps, weights, drawn.num_calls, distance, drawn.images))
    return scored


def sweep_rows(judged_by: Judge, scored: list[Scored]) -> list[Row]:
    """Return the rows of the anchors and of the sweep; the network calls stand beside the distances."""
    rows = [row for anchor in judged_by.anchors for row in anchor.rows("")]
    for point in scored:
        distances = point.fidelity.rows("")
        calls = distances[0]._replace(metric="num_calls", value=float(point.num_calls))
        rows += [*distances, calls]
    for size, bias in judged_by.bias.items():
        protocol = f"{judged_by.extractor.name}, {size} against {size}"
        rows.append(Row("", "", 0, protocol, "test against test", -1, "frechet_bias", "", math.nan, bias))
    return rows
