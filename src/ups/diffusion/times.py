"""Where on the noise axis to train: samplers of `t` in [0, 1], 0 = data, 1 = noise.

The shape is (batch,) for one level a sample or (batch, time) for one level a frame (diffusion forcing). Numbers are
drawn in float64 on the device of the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

TimeSampler = Callable[[tuple[int, ...], Generator], Tensor]
"""(shape, generator) -> t."""


def uniform() -> TimeSampler:
    """Draw from U(0, 1)."""
    return _rand


def beta(a: float, b: float) -> TimeSampler:
    """Draw from Beta(a, b), as g_a / (g_a + g_b) with gamma-distributed g; mean a / (a + b)."""

    def draw(shape: tuple[int, ...], generator: Generator) -> Tensor:
        ones = torch.ones(shape, dtype=torch.float64, device=generator.device)
        # torch.distributions draws from the global generator only; this is the kernel beneath it.
        first = torch._standard_gamma(a * ones, generator=generator)
        second = torch._standard_gamma(b * ones, generator=generator)
        return first / (first + second)

    return draw


def stratified(low: float = 0.0, high: float = 1.0) -> TimeSampler:
    """Draw one time from each of `batch` equal strata of [low, high], in random order.

    Each time alone is U(low, high); together they cover the interval evenly, which lowers the variance of the
    loss. The order is permuted anew for each frame, so neither the place in the batch nor the level of the
    neighbouring frame tells the level. Nothing outside [low, high] is ever drawn; there is no heap at its ends.
    """

    def draw(shape: tuple[int, ...], generator: Generator) -> Tensor:
        strata = _rand(shape, generator).argsort(dim=0)
        return low + (high - low) * (strata + _rand(shape, generator)) / shape[0]

    return draw


def logit_normal(mean: float = 0.0, std: float = 1.0) -> TimeSampler:
    """Draw sigmoid(mean + std normal); on the linear path logSNR is then N(-2 mean, (2 std)^2).

    Source: Esser et al., arXiv:2403.03206, section 3.1.
    """

    def draw(shape: tuple[int, ...], generator: Generator) -> Tensor:
        normal = torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)
        return torch.sigmoid(mean + std * normal)

    return draw


class Adaptive(nn.Module):
    """Draw times in proportion to the root mean square of the loss measured in equal bins of [0, 1].

    A share `floor` of the draws stays uniform, so that no bin starves. Dividing a loss by `density(t)` gives the
    unbiased estimate of its uniform mean, with least variance. The record is a buffer, saved with the model.
    Source: Nichol and Dhariwal, arXiv:2102.09672, equation 18.
    """

    square: Tensor

    def __init__(self, num_bins: int = 20, floor: float = 0.1, decay: float = 0.99) -> None:
        super().__init__()
        self.num_bins, self.floor, self.decay = num_bins, floor, decay
        self.register_buffer("square", torch.ones(num_bins, dtype=torch.float64))

    def _probabilities(self) -> Float[Tensor, " bin"]:
        rms = self.square.sqrt()
        return (1 - self.floor) * rms / rms.sum() + self.floor / self.num_bins

    def _bin(self, t: Tensor) -> Tensor:
        return (t * self.num_bins).long().clamp(0, self.num_bins - 1)

    def forward(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw a bin by the record, then uniformly inside it."""
        edges = self._probabilities().cumsum(0)
        index = torch.searchsorted(edges, _rand(shape, generator) * edges[-1], right=True)
        return (index.clamp(max=self.num_bins - 1) + _rand(shape, generator)) / self.num_bins

    def density(self, t: Float[Tensor, "*level"]) -> Float[Tensor, "*level"]:
        """Return the density from which `t` was drawn; its integral over [0, 1] is 1."""
        return (self._probabilities()[self._bin(t)] * self.num_bins).to(t.dtype)

    @torch.no_grad()
    def record(self, t: Float[Tensor, "*level"], loss: Float[Tensor, "*level"]) -> None:
        """Let the mean squared loss of each bin that was visited decay towards what was just seen."""
        index = self._bin(t).flatten()
        count = torch.bincount(index, minlength=self.num_bins)
        total = torch.bincount(index, weights=loss.double().square().flatten(), minlength=self.num_bins)
        seen = count > 0
        self.square[seen] = torch.lerp(total[seen] / count[seen], self.square[seen], self.decay)


class Hops(NamedTuple):
    """Pairs of times on dyadic grids: from `t` down to `s`; `smallest` marks steps of the finest grid."""

    t: Float[Tensor, "*level"]
    s: Float[Tensor, "*level"]
    smallest: Bool[Tensor, "*level"]


def dyadic(num_levels: int, smallest_share: float) -> Callable[[tuple[int, ...], Generator], Hops]:
    """Draw hops for shortcut training: length d = 2^-e, start t in {d, 2d, ..., 1}, end s = t - d.

    With the chance `smallest_share` the exponent e is `num_levels` (the finest step, 2^-num_levels), else it is
    uniform in 0 ... num_levels - 1, so that every step length down to a single hop is trained.
    Source: Frans et al., arXiv:2410.12557; Hafner et al., arXiv:2509.24527, equation 4 (whose grid
    should read {0, d, ..., 1 - d}).
    """

    def draw(shape: tuple[int, ...], generator: Generator) -> Hops:
        smallest = _rand(shape, generator) < smallest_share
        coarse = (_rand(shape, generator) * num_levels).floor()
        num_steps = 2.0 ** torch.where(smallest, float(num_levels), coarse)
        start = (_rand(shape, generator) * num_steps).floor()
        return Hops((start + 1) / num_steps, start / num_steps, smallest)

    return draw


def _rand(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
