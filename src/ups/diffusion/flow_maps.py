"""Flow maps: (x_t, t, s) -> x_s moves a noisy state to less noise, s <= t. `sample` chains them.

All of them end in the same hop (`move`), which solves the probability-flow equation exactly for a constant x0_hat;
they differ in which x0_hat they hop with. Data and noise trade places along

    dx = x0_hat dalpha + eps_hat dsigma,    eps_hat = (x_t - alpha x0_hat) / sigma.

A state with s = t stays where it is, so frames of one sample may move at different times (diffusion forcing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.denoiser import Denoiser, Posterior
from ups.diffusion.process import NoiseProcess

FlowMap = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t, t, s) -> x_s, with `t` and `s` of shape (batch,) or (batch, time)."""


def sample(
    flow_map: FlowMap, noise: Float[Tensor, " batch *shape"], grid: Float[Tensor, " step *frame"]
) -> Float[Tensor, " batch *shape"]:
    """Move `noise` down the grid: num_steps = len(grid) - 1 calls of the flow map. The only sampling loop.

    `noise` is the state at grid[0]: sigma(grid[0]) times a standard normal, if alpha is zero there or the data
    negligible (`process.corrupt(zeros, normal, t)`); that factor is 1 for all processes but EDM. With a grid of
    shape (step, time) each frame of a (batch, time, ...) state follows its own column.

    Raises:
        ValueError: the grid has no step, or rises somewhere.
    """
    if len(grid) < 2 or (grid.diff(dim=0) > 0).any():
        raise ValueError("the grid must fall from noise (1) to data (0), in at least one step")
    levels = grid.to(noise.device).unsqueeze(1).expand(len(grid), len(noise), *grid.shape[1:])
    x = noise
    for k in range(len(grid) - 1):
        x = flow_map(x, levels[k], levels[k + 1])
    return x


def move(
    process: NoiseProcess,
    x_t: Float[Tensor, "*shape"],
    x0: Float[Tensor, "*shape"],
    t: Float[Tensor, "*level"],
    s: Float[Tensor, "*level"],
) -> Float[Tensor, "*shape"]:
    """Hop from `t` to `s` with a constant estimate of the data: keep the noise that `x_t` and `x0` imply.

    x_s = r x_t + (alpha_s - alpha_t r) x0 with r = sigma_s / sigma_t. Exactly x0 at s = 0, exactly x_t at s = t.
    Source: DDIM, Song et al., arXiv:2010.02502, equation 12 with their sigma = 0.
    """
    alpha_t, _ = process.scales_for(t, x_t)
    alpha_s, _ = process.scales_for(s, x_t)
    kept = noise_ratio(process, x_t, t, s)
    return kept * x_t + (alpha_s - alpha_t * kept) * x0


def noise_ratio(
    process: NoiseProcess,
    x_t: Float[Tensor, "*shape"],
    t: Float[Tensor, "*level"],
    s: Float[Tensor, "*level"],
) -> Float[Tensor, "*level_ones"]:
    """Return sigma_s / sigma_t, in a shape that multiplies `x_t`; 1 where both are zero."""
    _, sigma_t = process.scales_for(t, x_t)
    _, sigma_s = process.scales_for(s, x_t)
    return _divide(sigma_s, sigma_t, otherwise=1.0)


def ddim(denoiser: Posterior) -> FlowMap:
    """Hop with x0_hat at `t`: deterministic, first order, one network call."""

    def flow_map(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return move(denoiser.process, x_t, denoiser(x_t, t), t, s)

    return flow_map


def ancestral(denoiser: Posterior, generator: Generator, interpolation: float = 0.0) -> FlowMap:
    """Draw x_s from q(x_s | x_t, x0_hat), with the coefficients of this very hop, however long.

    With k = SNR_t / SNR_s the variance is small^(1 - interpolation) large^interpolation, where
    small = sigma_s^2 (1 - k) is the posterior's (DDPM's beta tilde, right for data without spread) and
    large = sigma_t^2 (1 - k) is right for unit-variance data (DDPM's beta). No noise is added in the hop to t = 0.
    Source: Ho et al., arXiv:2006.11239, equation 7; Nichol and Dhariwal, arXiv:2102.09672, equation 15.
    """

    def flow_map(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        process = denoiser.process
        x0 = denoiser(x_t, t)
        alpha_t, sigma_t = process.scales_for(t, x_t)
        alpha_s, sigma_s = process.scales_for(s, x_t)
        share = _divide(alpha_t, alpha_s, otherwise=1.0)
        kept = noise_ratio(process, x_t, t, s)
        fresh = 1 - (share * kept) ** 2
        std = sigma_s ** (1 - interpolation) * sigma_t**interpolation * fresh.sqrt() * (sigma_s > 0)
        normal = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype, device=x_t.device)
        return alpha_s * x0 + share * kept**2 * (x_t - alpha_t * x0) + std * normal

    return flow_map


def heun(denoiser: Posterior) -> FlowMap:
    """Follow dx = x0_hat dalpha + eps_hat dsigma by the trapezoidal rule: second order, two network calls.

    On EDM this is Karras' Heun step, on the linear path Heun's method for the velocity. The hop to t = 0, where
    eps_hat is undefined, is a `ddim` hop with one call: K steps cost 2 K - 1 calls.
    Source: Karras et al., arXiv:2206.00364, algorithm 1.
    """

    def flow_map(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        process = denoiser.process
        x0_t = denoiser(x_t, t)
        x_s = move(process, x_t, x0_t, t, s)
        alpha_t, sigma_t = process.scales_for(t, x_t)
        alpha_s, sigma_s = process.scales_for(s, x_t)
        if not (sigma_s > 0).any():
            return x_s
        x0_s = denoiser(x_s, s)
        eps_t = _divide(x_t - alpha_t * x0_t, sigma_t, otherwise=0.0)
        eps_s = _divide(x_s - alpha_s * x0_s, sigma_s, otherwise=0.0)
        step = (alpha_s - alpha_t) * (x0_t + x0_s) / 2 + (sigma_s - sigma_t) * (eps_t + eps_s) / 2
        return torch.where(sigma_s > 0, x_t + step, x_s)

    return flow_map


def dpmpp_2m(denoiser: Posterior) -> FlowMap:
    """Hop with x0_hat extrapolated to the middle of the hop from the last two calls: second order, one call.

    x0 = x0_t + h / (2 h_last) (x0_t - x0_last), where h is the step in logSNR / 2. The first hop, and the hops
    from pure noise and to the data, whose h is infinite, are `ddim` hops. The map remembers its last hop and
    starts afresh when `t` is not where that hop ended: make one map for each call of `sample`.
    Source: DPM-Solver++(2M), Lu et al., arXiv:2211.01095, algorithm 2.
    """
    last: dict[str, Tensor] = {}

    def flow_map(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        process = denoiser.process
        x0 = denoiser(x_t, t)
        step = _half_logsnr(process, x_t, s) - _half_logsnr(process, x_t, t)
        used = x0
        if last and torch.equal(last["s"], t):
            usable = (last["step"] > 0) & step.isfinite()
            used = x0 + torch.where(usable, step / (2 * last["step"]), 0.0) * (x0 - last["x0"])
        last.update(s=s, step=step, x0=x0)
        return move(process, x_t, used, t, s)

    return flow_map


class Jump(nn.Module):
    """A learned flow map: the `ddim` hop around a network that also sees where the hop ends.

    It is the identity at s = t and its x0_hat at s = 0 by construction; a perfect one takes any hop in one call.
    The condition of the denoiser's network is the logSNR at `s`, then whatever else is given.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t` and `s`."""
        return self.denoiser.process

    def x0(self, x_t: Tensor, t: Tensor, s: Tensor, *condition: Any) -> Tensor:
        """Return the constant estimate of the data with which `move` lands on x_s."""
        return self.denoiser(x_t, t, self.process.logsnr(s).to(x_t.dtype), *condition)

    def forward(self, x_t: Tensor, t: Tensor, s: Tensor, *condition: Any) -> Tensor:
        """Return x_s."""
        return move(self.process, x_t, self.x0(x_t, t, s, *condition), t, s)

    def given(self, *condition: Any) -> GivenJump:
        """Return the flow map for one condition."""
        return GivenJump(self, condition)


@dataclass(frozen=True)
class GivenJump:
    """A learned flow map whose condition is fixed: (x_t, t, s) -> x_s."""

    jump: Jump
    condition: tuple[Any, ...]

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t` and `s`."""
        return self.jump.process

    def x0(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return the constant estimate of the data with which `move` lands on x_s."""
        return self.jump.x0(x_t, t, s, *self.condition)

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return x_s."""
        return self.jump(x_t, t, s, *self.condition)


@runtime_checkable
class Jumper(Protocol):
    """A flow map that can say with which x0 it hops: `Jump`, or the exact one of Gaussian data."""

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t` and `s`."""
        ...

    def x0(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return the constant estimate of the data with which `move` lands on x_s."""
        ...

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return x_s."""
        ...


def _half_logsnr(process: NoiseProcess, x_t: Tensor, t: Tensor) -> Tensor:
    alpha, sigma = process.scales_for(t.double(), x_t.double())
    return torch.log(alpha / sigma).to(x_t.dtype)


def _divide(numerator: Tensor, denominator: Tensor, otherwise: float) -> Tensor:
    """Divide where the denominator is positive; gradients stay finite elsewhere."""
    positive = denominator > 0
    return torch.where(positive, numerator / torch.where(positive, denominator, 1.0), otherwise)
