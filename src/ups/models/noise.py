"""Settings of diffusion: along which process noise is added, what the network predicts, how levels are weighted."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from ups.config import Settings
from ups.diffusion import parameterization, process, weighting
from ups.diffusion.parameterization import Parameterization
from ups.diffusion.process import NoiseProcess
from ups.diffusion.weighting import Weighting


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


ProcessSettings = Annotated[LinearPath | CosinePath | Chain, Field(discriminator="kind")]

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
    gamma: PositiveFloat = 5.0
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
    gamma: PositiveFloat = 5.0
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


WeightingSettings = Annotated[
    NoiseError | MinSNR | SoftMinSNR | DataError | OutputError, Field(discriminator="kind")
]


def mean_weight(noise_process: NoiseProcess, weight: Weighting) -> float:
    """Return the mean weight on the squared noise error over t = 0.001, 0.002, ..., 1, that is, of w / SNR.

    For DDPM's 1000 steps these are the levels of the chain. It is the factor by which a weighting rescales a loss
    (and its Hessian) whose levels contribute alike.
    """
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    logsnr = noise_process.logsnr(t)
    return (weight(logsnr) / torch.exp(logsnr)).mean().item()
