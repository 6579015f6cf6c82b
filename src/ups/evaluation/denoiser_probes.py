"""The curvature of a denoiser: frozen objectives, one for each weighting, on one frozen set of noisy images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.func import functional_call

from ups.config import Settings
from ups.diffusion.denoiser import Denoiser
from ups.diffusion.process import NoiseProcess, expand
from ups.diffusion.times import stratified
from ups.diffusion.weighting import Weighting
from ups.models.noise import MinSNR, NoiseError, WeightingSettings
from ups.probes.curvature import Curvature, Objective, curvature
from ups.probes.frozen import ProbeSet, bins, freeze, still
from ups.probes.gradients import gradient, norm
from ups.probes.products import Params, hessian_form
from ups.probes.trace import hutchinson, rademacher
from ups.streams import stream
from ups.types import Row

CANONICAL = NoiseError()


class Depth(Settings):
    """How closely curvature is looked at; runs that are compared have equal settings here."""

    num_vectors: PositiveInt = 8
    """Rademacher vectors of each trace."""
    num_levels: PositiveInt = 4
    """Equal bins of the time of the noise, each with a trace of its own."""
    max_lanczos: PositiveInt = 12
    """Lanczos steps for the largest and the smallest eigenvalue, at most."""
    precision: Literal["float32", "float64"] = "float32"
    """In which the products are computed."""
    seed: NonNegativeInt = 0
    """Of the probe batch, noise, times and vectors."""


class Probe(Depth):
    """How the curvature of a denoiser of images is measured."""

    objectives: tuple[WeightingSettings, ...] = (CANONICAL, MinSNR())
    """The weightings under which every run is probed, besides its own: the same for all, whatever they trained on."""
    weights: tuple[Literal["ema", "raw"], ...] = ("ema", "raw")
    """Averaged weights, and those of the last update."""
    num_images: PositiveInt = 32
    """Training images in the probe batch, a noise and a time each."""

    def all_objectives(self, trained_under: Any) -> tuple[Any, ...]:
        """Return the weightings to probe under: the canonical one, the one trained under, then the others."""
        unique = {each.name: each for each in (CANONICAL, trained_under, *self.objectives)}
        return tuple(unique.values())


def probe_set(images: Float[Tensor, "image channel height width"], settings: Probe) -> ProbeSet:
    """Return frozen images, noise, stratified times and the seed of the vectors; the same for equal images."""
    order = torch.randperm(len(images), generator=stream(settings.seed, "probes/images"))
    data = images[order[: settings.num_images]]
    return freeze(data, stratified(), settings.seed, settings.num_vectors)


class Frozen:
    """A denoiser and a probe set, ready to be asked: `params`, an objective per weighting, and per noise level.

    `condition` names the tensors of the set that the denoiser is given besides the noisy data.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        found: ProbeSet,
        precision: Literal["float32", "float64"] = "float32",
        condition: tuple[str, ...] = (),
    ) -> None:
        dtype = getattr(torch, precision)
        self.found = found
        self.params: Params
        self._twin, self.params = still(denoiser, dtype)
        self.process: NoiseProcess = denoiser.process
        tensors = found.to(next(iter(self.params.values())).device, dtype)
        self._x0, self._t = tensors["data"], tensors["times"]
        self._x_t = self.process.corrupt(self._x0, tensors["noise"], self._t)
        self._condition = [tensors[name] for name in condition]

    def objective(self, name: str, weighting: Weighting, index: Tensor | slice = slice(None)) -> Objective:
        """Return the mean of w (x0_hat - x0)^2 over the samples that `index` names.

        `mean_weight` is the mean of w / SNR: 1 for the unweighted noise error.
        """
        x0, t, x_t = self._x0[index], self._t[index], self._x_t[index]
        condition = [tensor[index] for tensor in self._condition]
        logsnr = self.process.logsnr(t)
        weight = expand(weighting(logsnr), x0)

        def outputs(params: Params) -> Tensor:
            return functional_call(self._twin, params, (x_t, t, *condition))

        def loss(x0_hat: Tensor) -> Tensor:
            return (weight * (x0_hat - x0) ** 2).mean()

        mean_weight = (weighting(logsnr) / torch.exp(logsnr)).mean().item()
        return Objective(name, outputs, loss, mean_weight)

    def levels(self, name: str, weighting: Weighting, num_levels: int) -> dict[str, Objective]:
        """Return the objective on each of `num_levels` equal bins of the time, by its edges."""
        found = bins(self._t, num_levels).items()
        return {
            f"t {edges}": self.objective(f"{name}, t {edges}", weighting, index)
            for edges, index in found
            if len(index)
        }


def probe(frozen: Frozen, depth: Depth, objectives: Iterable[Any], weights: str) -> list[Curvature]:
    """Measure the curvature of a denoiser under every objective; `weights` says whose parameters it has."""
    return [
        curvature(
            frozen.objective(each.name, each.build()),
            frozen.params,
            frozen.found,
            weights,
            frozen.levels(each.name, each.build(), depth.num_levels),
            depth.max_lanczos,
        )
        for each in objectives
    ]


def glance(denoiser: Denoiser, found: ProbeSet, objectives: Iterable[Any]) -> dict[str, float]:
    """Return loss, gradient norm and trace with its standard error under every objective, for the log of a training.

    The vectors are those of the probe set, so that a curve has no noise from one point to the next.
    """
    frozen = Frozen(denoiser, found)
    numbers = {}
    for each in objectives:
        objective = frozen.objective(each.name, each.build())
        vectors = rademacher(frozen.params, found.seed, found.num_vectors)
        trace = hutchinson(hessian_form(objective, frozen.params), vectors)
        with torch.no_grad():
            loss = float(objective(frozen.params))
        figures = {"loss": loss, "gradient": norm(gradient(objective, frozen.params))}
        figures |= {"trace": trace.mean, "trace_sem": trace.sem}
        numbers |= {f"probe/{each.name}/{key}": value for key, value in figures.items()}
    return numbers


def curvature_rows(measured: Iterable[Curvature]) -> list[Row]:
    """Return the rows of curvatures, protocol "curvature, <objective>", stepper "ema" or "raw".

    Traces have a row for each probe vector, with the number of the vector as its trajectory: runs probed with one
    set are paired in it. `level_trace` has the noise level as its field. All else is of the whole set.
    """
    rows = []
    for each in measured:
        protocol = f"curvature, {each.objective}"
        traces = {("trace", ""): each.trace, ("gauss_newton_trace", ""): each.gauss_newton}
        traces |= {("level_trace", level): trace for level, trace in each.levels.items()}
        for (metric, level), trace in traces.items():
            rows += [
                Row("", "", 0, protocol, each.weights, vector, metric, level, math.nan, value)
                for vector, value in enumerate(trace.raw)
            ]
        whole = {
            name: value
            for name, value in each.numbers.items()
            if name not in ("trace", "gauss_newton_trace") and "[" not in name
        }
        whole |= {"mean_weight": each.mean_weight, "seconds": each.seconds}
        rows += [
            Row("", "", 0, protocol, each.weights, -1, name, "", math.nan, value)
            for name, value in whole.items()
        ]
    return rows
