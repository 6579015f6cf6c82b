"""The oracle that a sampler must pass before it may score a network: Gaussian data, whose denoiser is known exactly.

With a perfect denoiser all that is left of an error is the sampler's own. It falls with the number of steps, at
first order or faster, for every right sampler; one with un-respaced coefficients leaves half of the noise in the
image however many steps it takes, and then all networks score alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ups.diffusion.exact import GaussianDenoiser
from ups.diffusion.flow_maps import sample
from ups.diffusion.process import NoiseProcess
from ups.images.sampling import SAMPLERS, MakeFlowMap, Sampler
from ups.streams import stream
from ups.types import UserError

MEAN, STD = 0.3, 0.5
"""Of the data. A standard deviation of 1 would hide a sampler that only keeps the variance of its noise."""
NUM_SAMPLES = 8192
FIRST_ORDER = 8.0
"""Largest error times number of steps: right samplers stay below 6 on all four processes, from 5 to 1000 steps."""
LARGEST = 0.6
"""Largest error at any number of steps."""
NOISE = 0.03
"""Four standard errors of the standard deviation of so many samples."""


@dataclass(frozen=True)
class Answer:
    """What a sampler made of Gaussian data with its exact denoiser."""

    sampler: str
    num_steps: int
    std_ratio: float
    mean_error: float

    @property
    def tolerance(self) -> float:
        """min(0.6, 8 / K) + 0.03."""
        return min(LARGEST, FIRST_ORDER / self.num_steps) + NOISE

    @property
    def fault(self) -> str | None:
        """What is wrong, in a few words with numbers; None if nothing is."""
        if not abs(self.std_ratio - 1.0) <= self.tolerance:
            return (
                f"the spread of its samples is {self.std_ratio:.2f} times that of the data, not within "
                f"{self.tolerance:.2f} of 1: too few steps, or wrong coefficients"
            )
        if not abs(self.mean_error) <= NOISE:
            return f"the mean of its samples is off by {self.mean_error:+.2f} standard deviations"
        return None


def ask(
    process: NoiseProcess, sampler: str, num_steps: int, make: MakeFlowMap, num_samples: int = NUM_SAMPLES
) -> Answer:
    """Draw samples with the exact denoiser of N(0.3, 0.5^2), in float64."""
    generator = stream(0, "sampler oracle")
    start = torch.randn(num_samples, generator=generator, dtype=torch.float64)
    start = torch.cat([start, -start])  # the mean of the noise is exactly zero
    flow_map = make(GaussianDenoiser(process, STD, MEAN), generator)
    drawn = sample(flow_map, start, process.grid(num_steps))
    return Answer(sampler, num_steps, drawn.std().item() / STD, (drawn.mean().item() - MEAN) / STD)


def require_right_samplers(
    process: NoiseProcess, samplers: Iterable[Sampler], steps: Iterable[int]
) -> list[Answer]:
    """Return the answers of every sampler at every number of steps.

    Raises:
        UserError: one is wrong; the message says which, and how far off.
    """
    steps = tuple(steps)
    answers = [ask(process, name, num_steps, SAMPLERS[name]) for name in samplers for num_steps in steps]
    wrong = [each for each in answers if each.fault]
    if wrong:
        first, *others = (f"{each.sampler} with {each.num_steps} steps" for each in wrong)
        also = f"; wrong too: {', '.join(others)}" if others else ""
        raise UserError(
            f"refused by the Gaussian oracle, no network may be scored: {first}: {wrong[0].fault}{also}"
        )
    return answers
