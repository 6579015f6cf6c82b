"""Denoisers: the posterior mean E[x0 | x_t] from a network that sees logSNR and never `t`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ups.diffusion.parameterization import Coefficients, Parameterization
from ups.diffusion.process import NoiseProcess, expand


@runtime_checkable
class Posterior(Protocol):
    """What a flow map needs: (x_t, t) -> E[x0 | x_t], and the process that made x_t."""

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t`."""
        ...

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return the mean of the data given its noisy version."""
        ...


class Denoiser(nn.Module):
    """x0_hat = c_skip x_t + c_out network(c_in x_t, logSNR), with what the parameterization says.

    The network is called once, as `network(x, logsnr)` or `network(x, logsnr, condition)`; logSNR has the shape of
    `t`. At the end points the coefficients are those of the process's finite scales.
    """

    def __init__(self, network: nn.Module, process: NoiseProcess, parameterization: Parameterization) -> None:
        super().__init__()
        self.network, self.process, self.parameterization = network, process, parameterization

    def forward(self, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"], *condition: Any) -> Tensor:
        """Return x0_hat, of the shape of `x_t`."""
        c_in, c_skip, c_out = coefficients(self, x_t, t)
        output = self.network(c_in * x_t, self.process.logsnr(t).to(x_t.dtype), *condition)
        return c_skip * x_t + c_out * output

    def given(self, *condition: Any) -> Given:
        """Return the denoiser for one condition, as flow maps take it."""
        return Given(self, condition)


@dataclass(frozen=True)
class Given:
    """A denoiser whose condition is fixed: (x_t, t) -> x0_hat."""

    denoiser: Denoiser
    condition: tuple[Any, ...]

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t`."""
        return self.denoiser.process

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return x0_hat under the condition."""
        return self.denoiser(x_t, t, *self.condition)


def coefficients(
    denoiser: Denoiser, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"]
) -> Coefficients:
    """Return the denoiser's three coefficients at `t`, in a shape that multiplies `x_t`."""
    c_in, c_skip, c_out = denoiser.parameterization(*denoiser.process.finite_scales(t))
    return Coefficients(expand(c_in, x_t), expand(c_skip, x_t), expand(c_out, x_t))


class LogSNREmbedding(nn.Module):
    """Smooth features of logSNR: cosines and sines of tanh(logSNR / 5) at frequencies from 0.5 to 4.

    tanh gives the resolution to the levels that matter and lets the ends, where logSNR of neighbouring times is
    far apart, come together; so neighbouring times look alike to the network everywhere.
    """

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        """Prepare `dim` features; `dim` is even."""
        super().__init__()
        exponents = torch.linspace(math.log(0.5), math.log(4.0), dim // 2, dtype=torch.float64)
        self.register_buffer("frequencies", torch.exp(exponents).float(), persistent=False)

    def forward(self, logsnr: Float[Tensor, "*level"]) -> Float[Tensor, "*level dim"]:
        """Return features in [-1, 1]."""
        angle = torch.tanh(logsnr / 5)[..., None] * self.frequencies.to(logsnr.dtype)
        return torch.cat([angle.cos(), angle.sin()], dim=-1)
