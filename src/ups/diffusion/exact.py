"""Gaussian data, for which everything is known in closed form: the oracle of every flow map and loss.

For x0 ~ N(mean, std^2) in each dimension, x_t - alpha mean has the standard deviation m(t) =
sqrt(alpha^2 std^2 + sigma^2). `std` and `mean` may be tensors that broadcast against the state, for instance a
spectrum: the denoiser is then the best linear one for data with that spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ups.diffusion.flow_maps import noise_ratio
from ups.diffusion.process import NoiseProcess


@dataclass(frozen=True)
class GaussianDenoiser:
    """E[x0 | x_t] = mean + alpha std^2 / m^2 (x_t - alpha mean)."""

    process: NoiseProcess
    std: float | Tensor
    mean: float | Tensor = 0.0

    def __call__(self, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"]) -> Float[Tensor, "*shape"]:
        """Return the posterior mean."""
        alpha, sigma = self.process.scales_for(t, x_t)
        gain = alpha * self.std**2 / (alpha**2 * self.std**2 + sigma**2)
        return self.mean + gain * (x_t - alpha * self.mean)


@dataclass(frozen=True)
class GaussianFlow:
    """The exact flow map, x_s = alpha_s mean + m(s) / m(t) (x_t - alpha_t mean).

    Its jump to s = 0 is the exact consistency map, and its `x0` the exact shortcut.
    """

    process: NoiseProcess
    std: float | Tensor
    mean: float | Tensor = 0.0

    def __call__(
        self, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"], s: Float[Tensor, "*level"]
    ) -> Float[Tensor, "*shape"]:
        """Return x_s."""
        alpha_t, sigma_t = self.process.scales_for(t, x_t)
        alpha_s, sigma_s = self.process.scales_for(s, x_t)
        ratio = torch.sqrt((alpha_s**2 * self.std**2 + sigma_s**2) / (alpha_t**2 * self.std**2 + sigma_t**2))
        return alpha_s * self.mean + ratio * (x_t - alpha_t * self.mean)

    def consistency(
        self, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"]
    ) -> Float[Tensor, "*shape"]:
        """Return the point of the data where the path through x_t ends: mean + std / m(t) (x_t - alpha mean)."""
        return self(x_t, t, torch.zeros_like(t))

    def x0(
        self, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"], s: Float[Tensor, "*level"]
    ) -> Float[Tensor, "*shape"]:
        """Return the exact shortcut: the x0 with which one `move` from `t` lands on x_s; s < t."""
        alpha_t, _ = self.process.scales_for(t, x_t)
        alpha_s, _ = self.process.scales_for(s, x_t)
        kept = noise_ratio(self.process, x_t, t, s)
        return (self(x_t, t, s) - kept * x_t) / (alpha_s - alpha_t * kept)
