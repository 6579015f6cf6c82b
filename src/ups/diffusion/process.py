"""Noise processes: the only place where diffusion time becomes a noise level.

`t` lies in [0, 1], 0 is data and 1 is noise, and `x_t = alpha(t) x0 + sigma(t) noise`. Everything beyond this file
speaks of logSNR = ln(alpha^2 / sigma^2). `docs/notation.md` translates the times of the papers.

End points: `scales` is exact on the closed interval, so x_0 is the data and hops to t = 0 remove all noise. Where
a finite logSNR is needed (networks, weightings) it is limited to +-`LOGSNR_LIMIT`; there is no other epsilon.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

LOGSNR_LIMIT = 25.0


def expand(level: Float[Tensor, "*level"], like: Float[Tensor, "*shape"]) -> Float[Tensor, "*level_ones"]:
    """Append axes of length one, and take the type of `like`, so that a level multiplies it.

    The axes of `level` are the leading axes of `like`: none, (batch,), or (batch, time).
    """
    return level.to(like.dtype).reshape(level.shape + (1,) * (like.ndim - level.ndim))


class NoiseProcess(ABC):
    """A path from data to noise. A new one is a frozen dataclass with one method, `scales`."""

    @abstractmethod
    def scales(self, t: Float[Tensor, "*level"]) -> tuple[Float[Tensor, "*level"], Float[Tensor, "*level"]]:
        """Return (alpha, sigma) at `t`; logSNR must fall strictly with `t`, and sigma(0) = 0."""

    def scales_for(
        self, t: Float[Tensor, "*level"], like: Float[Tensor, "*shape"]
    ) -> tuple[Float[Tensor, "*level_ones"], Float[Tensor, "*level_ones"]]:
        """Return (alpha, sigma) in a shape and type that multiply `like`."""
        alpha, sigma = self.scales(t)
        return expand(alpha, like), expand(sigma, like)

    def finite_scales(
        self, t: Float[Tensor, "*level"]
    ) -> tuple[Float[Tensor, "*level"], Float[Tensor, "*level"]]:
        """Return (alpha, sigma) in float64, neither below exp(-LOGSNR_LIMIT / 2) times the other."""
        alpha, sigma = self.scales(t.double())
        least = math.exp(-LOGSNR_LIMIT / 2)
        return torch.maximum(alpha, least * sigma), torch.maximum(sigma, least * alpha)

    def logsnr(self, t: Float[Tensor, "*level"]) -> Float[Tensor, "*level"]:
        """Return ln(alpha^2 / sigma^2), finite everywhere; computed in float64, since it is steep at the ends."""
        alpha, sigma = self.finite_scales(t)
        return (2 * torch.log(alpha / sigma)).to(t.dtype)

    def time(self, logsnr: Float[Tensor, "*level"]) -> Float[Tensor, "*level"]:
        """Return the time at which the process has this logSNR, by bisection in [0, 1].

        A logSNR that the process never reaches gives the nearer end.
        """
        target = logsnr.double()
        low, high = torch.zeros_like(target), torch.ones_like(target)
        for _ in range(60):  # 2^-60 is below the spacing of float64 in (0.5, 1)
            middle = (low + high) / 2
            alpha, sigma = self.scales(middle)
            too_clean = 2 * torch.log(alpha / sigma) > target
            low, high = torch.where(too_clean, middle, low), torch.where(too_clean, high, middle)
        return ((low + high) / 2).to(logsnr.dtype)

    def corrupt(
        self, x0: Float[Tensor, "*shape"], noise: Float[Tensor, "*shape"], t: Float[Tensor, "*level"]
    ) -> Float[Tensor, "*shape"]:
        """Return x_t = alpha x0 + sigma noise; `t` is a scalar or has the leading axes of `x0`."""
        alpha, sigma = self.scales_for(t, x0)
        return alpha * x0 + sigma * noise

    def grid(self, num_steps: int) -> Float[Tensor, " step"]:
        """Return `num_steps + 1` falling times from 1 to 0, evenly spaced, in float64.

        For DDPM these are the "trailing" steps k = T - 1, T - 1 - T/N, ..., which start at pure noise.

        Raises:
            ValueError: `num_steps` is less than one.
        """
        return torch.linspace(1, 0, _at_least_one(num_steps) + 1, dtype=torch.float64)


@dataclass(frozen=True)
class Linear(NoiseProcess):
    """The straight path of flow matching: alpha = 1 - t, sigma = t.

    Source: Lipman et al., arXiv:2210.02747; Liu et al., arXiv:2209.03003.
    """

    def scales(self, t: Float[Tensor, "*level"]) -> tuple[Float[Tensor, "*level"], Float[Tensor, "*level"]]:
        """Return (1 - t, t)."""
        return 1 - t, t


@dataclass(frozen=True)
class Cosine(NoiseProcess):
    """The variance-preserving circle: alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    Source: Nichol and Dhariwal, arXiv:2102.09672, without their offset.
    """

    def scales(self, t: Float[Tensor, "*level"]) -> tuple[Float[Tensor, "*level"], Float[Tensor, "*level"]]:
        """Return (cos, sin) of the angle; the cosine as sin(pi (1 - t) / 2), so that it is exactly 0 at t = 1."""
        return torch.sin(math.pi / 2 * (1 - t)), torch.sin(math.pi / 2 * t)


def beta_linear(num_steps: int) -> Float[Tensor, " step"]:
    """Return betas from 1e-4 to 2e-2, times 1000 / `num_steps` (the end keeps its noise), none above 0.999.

    Source: Ho et al., arXiv:2006.11239, section 4.
    """
    scale = 1000 / num_steps
    return torch.linspace(1e-4 * scale, 2e-2 * scale, num_steps, dtype=torch.float64).clamp(max=0.999)


def beta_cosine(num_steps: int) -> Float[Tensor, " step"]:
    """Return betas of alpha^2 = cos^2(pi/2 (t + 0.008) / 1.008), none above 0.999.

    Source: Nichol and Dhariwal, arXiv:2102.09672, equation 17.
    """
    edges = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    squared = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - squared[1:] / squared[:-1]).clamp(max=0.999)


@dataclass(frozen=True)
class DDPM(NoiseProcess):
    """The discrete chain of `num_steps` betas, made continuous: ln alpha^2 is linear in between.

    Their index k = 0 ... num_steps - 1 is our t = (k + 1) / num_steps, so t = 0 is the data itself and
    alpha^2 at that t is exactly their cumulative product. Variance preserving.
    """

    betas: Callable[[int], Tensor] = beta_linear
    num_steps: int = 1000
    _log_alpha2: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Tabulate ln alpha^2 at the edges of the steps."""
        cumulative = torch.log1p(-self.betas(self.num_steps)).cumsum(0)
        object.__setattr__(self, "_log_alpha2", torch.cat([cumulative.new_zeros(1), cumulative]))

    def scales(self, t: Float[Tensor, "*level"]) -> tuple[Float[Tensor, "*level"], Float[Tensor, "*level"]]:
        """Return (sqrt(alpha_bar), sqrt(1 - alpha_bar)) of the interpolated chain."""
        table = self._log_alpha2.to(t.device)
        position = t.double() * self.num_steps
        k = position.floor().long().clamp(0, self.num_steps - 1)
        log_alpha2 = torch.lerp(table[k], table[k + 1], position - k)
        return torch.exp(log_alpha2 / 2).to(t.dtype), torch.sqrt(-torch.expm1(log_alpha2)).to(t.dtype)


@dataclass(frozen=True)
class EDM(NoiseProcess):
    """Variance exploding: alpha = 1, and sigma runs over Karras' ramp, even steps in sigma^(1/rho).

    The ramp takes t in [`t_join`, 1] from `sigma_min` to `sigma_max`; below, sigma falls linearly to 0 at the data.
    Pure noise has the standard deviation `sigma_max`, not 1.
    Source: Karras et al., arXiv:2206.00364, equation 5.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    t_join: float = 1e-3

    def scales(self, t: Float[Tensor, "*level"]) -> tuple[Float[Tensor, "*level"], Float[Tensor, "*level"]]:
        """Return (1, sigma)."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        share = ((t - self.t_join) / (1 - self.t_join)).clamp(min=0)
        ramp = (low + share * (high - low)) ** self.rho
        return torch.ones_like(t), torch.where(t < self.t_join, self.sigma_min * t / self.t_join, ramp)

    def grid(self, num_steps: int) -> Float[Tensor, " step"]:
        """Return Karras' `num_steps` noise levels from `sigma_max` to `sigma_min`, then 0.

        A single step goes from `sigma_max` to 0.

        Raises:
            ValueError: `num_steps` is less than one.
        """
        ramp = torch.linspace(1, self.t_join, _at_least_one(num_steps), dtype=torch.float64)
        return torch.cat([ramp, ramp.new_zeros(1)])


def _at_least_one(num_steps: int) -> int:
    if num_steps < 1:
        raise ValueError(f"a grid needs at least one step, not {num_steps}")
    return num_steps
