"""Settings of diffusion: along which process noise is added, what the network predicts, how levels are weighted."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt, model_validator

from ups.config import Settings
from ups.diffusion import parameterization, process, times, weighting
from ups.diffusion.parameterization import Parameterization
from ups.diffusion.process import NoiseProcess
from ups.diffusion.times import TimeSampler
from ups.diffusion.weighting import Weighting

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LinearPath(Settings):
    """The straight path of flow matching."""

    kind: Literal["linear"] = "linear"

    def build(self) -> NoiseProcess:
        """Return the process."""
        return process.Linear()


class CosinePath(Settings):
    """The variance-preserving circle, without steps."""

    kind: Literal["cosine"] = "cosine"

    def build(self) -> NoiseProcess:
        """Return the process."""
        return process.Cosine()


class Chain(Settings):
    """DDPM's chain of betas."""

    kind: Literal["ddpm"] = "ddpm"
    betas: Literal["linear", "cosine"] = "linear"
    """Ho et al.'s betas, or Nichol and Dhariwal's."""
    num_steps: PositiveInt = 1000
    """The length of the chain, T."""

    def build(self) -> NoiseProcess:
        """Return the process."""
        schedules = {"linear": process.beta_linear, "cosine": process.beta_cosine}
        return process.DDPM(schedules[self.betas], self.num_steps)


class ExplodingPath(Settings):
    """Karras' variance-exploding process: the data stay, noise is added."""

    kind: Literal["edm"] = "edm"
    sigma_min: Positive = 0.002
    """The least noise, in standard deviations of the data."""
    sigma_max: Positive = 80.0
    """The most."""
    rho: Positive = 7.0
    """How far the levels crowd at the least noise."""

    @model_validator(mode="after")
    def _rises(self) -> ExplodingPath:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min:g} is not below sigma_max {self.sigma_max:g}")
        return self

    def build(self) -> NoiseProcess:
        """Return the process."""
        return process.EDM(self.sigma_min, self.sigma_max, self.rho)


ProcessSettings = Annotated[LinearPath | CosinePath | Chain | ExplodingPath, Field(discriminator="kind")]

Predicts = Literal["eps", "x0", "v", "flow", "edm"]
"""What the output of the network means; see `ups.diffusion.parameterization`."""


def build_parameterization(predicts: Predicts, data_std: float) -> Parameterization:
    """Return the coefficients between the network and x0_hat, for data of this standard deviation."""
    return getattr(parameterization, predicts)(data_std)


class NoiseError(Settings):
    """The plain squared error of the noise at every level: the canonical, unweighted objective."""

    kind: Literal["noise_error"] = "noise_error"

    name: ClassVar[str] = "noise error, unweighted"
    """What the objective is called in tables."""

    def build(self) -> Weighting:
        """Return the weight on the x0 error: SNR."""
        return weighting.snr()


class MinSNR(Settings):
    """The squared error of the noise times min(1, gamma / SNR): levels with little noise count less."""

    kind: Literal["min_snr"] = "min_snr"
    gamma: Positive = 5.0
    """The SNR from which on the weight falls."""

    @property
    def name(self) -> str:
        """What the objective is called in tables."""
        return f"noise error, Min-SNR {self.gamma:g}"

    def build(self) -> Weighting:
        """Return the weight on the x0 error: min(SNR, gamma)."""
        return weighting.min_snr(self.gamma)


class SoftMinSNR(Settings):
    """The squared error of the noise times gamma / (SNR + gamma), a smooth Min-SNR."""

    kind: Literal["soft_min_snr"] = "soft_min_snr"
    gamma: Positive = 5.0
    """The SNR at which the weight is a half."""

    @property
    def name(self) -> str:
        """What the objective is called in tables."""
        return f"noise error, soft Min-SNR {self.gamma:g}"

    def build(self) -> Weighting:
        """Return the weight on the x0 error: gamma SNR / (SNR + gamma)."""
        return weighting.soft_min_snr(self.gamma)


class DataError(Settings):
    """The plain squared error of the data at every level."""

    kind: Literal["data_error"] = "data_error"

    name: ClassVar[str] = "data error"
    """What the objective is called in tables."""

    def build(self) -> Weighting:
        """Return the weight on the x0 error: 1."""
        return weighting.uniform()


class OutputError(Settings):
    """The squared error of the data times SNR + 1: that of v, in which every level counts about alike."""

    kind: Literal["output_error"] = "output_error"

    name: ClassVar[str] = "output error"
    """What the objective is called in tables."""

    def build(self) -> Weighting:
        """Return the weight on the x0 error: SNR + 1."""
        return weighting.edm(1.0)


class Ramp(Settings):
    """The squared error of the data, from `low` at pure noise up to 1 at the data: Dreamer 4's ramp."""

    kind: Literal["ramp"] = "ramp"
    low: Annotated[float, Field(ge=0, le=100)] = 0.1
    """The weight at pure noise; above 1 the ramp is upside down."""

    @property
    def name(self) -> str:
        """What the objective is called in tables."""
        return f"data error, ramp from {self.low:g}"

    def build(self) -> Weighting:
        """Return the weight on the x0 error: low + (1 - low) share of the data."""
        return weighting.ramp(self.low)


WeightingSettings = Annotated[
    NoiseError | MinSNR | SoftMinSNR | DataError | OutputError | Ramp, Field(discriminator="kind")
]


class UniformTimes(Settings):
    """Independent uniform times."""

    kind: Literal["uniform"] = "uniform"

    def build(self) -> TimeSampler:
        """Return the sampler."""
        return times.uniform()


class StratifiedTimes(Settings):
    """Uniform times, one in each of as many equal strata as there are samples: less noise in the loss."""

    kind: Literal["stratified"] = "stratified"
    low: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The least time; 0 is data."""
    high: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The largest time; 1 is noise."""

    @model_validator(mode="after")
    def _rises(self) -> StratifiedTimes:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def build(self) -> TimeSampler:
        """Return the sampler."""
        return times.stratified(self.low, self.high)


class BetaTimes(Settings):
    """Times from Beta(a, b), whose mean is a / (a + b)."""

    kind: Literal["beta"] = "beta"
    a: Positive = 1.2
    """Above b: more noise."""
    b: Positive = 1.2
    """Above a: less noise."""

    def build(self) -> TimeSampler:
        """Return the sampler."""
        return times.beta(self.a, self.b)


class LogitNormalTimes(Settings):
    """Times whose logit is normal: most in the middle, none at the ends."""

    kind: Literal["logit_normal"] = "logit_normal"
    mean: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """Of the logit; above 0: more noise."""
    std: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Of the logit."""

    def build(self) -> TimeSampler:
        """Return the sampler."""
        return times.logit_normal(self.mean, self.std)


class AdaptiveTimes(Settings):
    """Times in proportion to the root mean square of the loss measured there; the loss is weighted back."""

    kind: Literal["adaptive"] = "adaptive"
    num_bins: Annotated[int, Field(ge=2, le=1000)] = 20
    """Bins in which the loss is measured."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the draws that stays uniform."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Of what was measured."""

    def build(self) -> TimeSampler:
        """Return the sampler, a module with a record of its own."""
        return times.Adaptive(self.num_bins, self.floor, self.decay)


TimeSettings = Annotated[
    UniformTimes | StratifiedTimes | BetaTimes | LogitNormalTimes | AdaptiveTimes, Field(discriminator="kind")
]


def mean_weight(noise_process: NoiseProcess, weight: Weighting) -> float:
    """Return the mean weight on the squared noise error over t = 0.001, 0.002, ..., 1, that is, of w / SNR.

    For DDPM's 1000 steps these are the levels of the chain. It is the factor by which a weighting rescales a loss
    (and its Hessian) whose levels contribute alike.
    """
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    logsnr = noise_process.logsnr(t)
    return (weight(logsnr) / torch.exp(logsnr)).mean().item()
