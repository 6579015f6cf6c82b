"""Samples of images from a denoiser: flow maps by name, counted network calls, and the road from noise to image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.diffusion import flow_maps
from ups.diffusion.denoiser import Posterior
from ups.diffusion.flow_maps import FlowMap
from ups.diffusion.process import NoiseProcess
from ups.streams import stream

Sampler = Literal["ddim", "ancestral", "heun", "dpmpp_2m"]
MakeFlowMap = Callable[[Posterior, Generator], FlowMap]
"""A denoiser, and where a stochastic flow map draws from, to the flow map."""

SAMPLERS: dict[Sampler, MakeFlowMap] = {
    "ddim": lambda denoiser, _: flow_maps.ddim(denoiser),
    "ancestral": lambda denoiser, generator: flow_maps.ancestral(denoiser, generator),
    "heun": lambda denoiser, _: flow_maps.heun(denoiser),
    "dpmpp_2m": lambda denoiser, _: flow_maps.dpmpp_2m(denoiser),
}


@dataclass(frozen=True)
class Clamped:
    """A denoiser of images, which cannot leave [-1, 1]: neither can their posterior mean.

    Flow maps work the noise out from x0_hat, so that the two agree; to clamp x0_hat but keep the noise of the
    unclamped one is a common mistake.
    """

    denoiser: Posterior

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t`."""
        return self.denoiser.process

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return x0_hat, clamped."""
        return self.denoiser(x_t, t).clamp(-1.0, 1.0)


@dataclass
class Watched:
    """A denoiser that counts its calls and, if `keeps`, remembers what it said."""

    denoiser: Posterior
    keeps: bool = False
    num_calls: int = 0
    estimates: list[Tensor] = field(default_factory=list)

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t`."""
        return self.denoiser.process

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return x0_hat."""
        x0 = self.denoiser(x_t, t)
        self.num_calls += 1
        if self.keeps:
            self.estimates.append(x0)
        return x0


@dataclass(frozen=True)
class Road:
    """The road from noise to images: whose estimates to follow, by which flow map, in how many steps, from where.

    The noise at the start depends on the seed and on nothing else, so that samplers, numbers of steps and weights
    are compared on the same images to be.
    """

    denoiser: Posterior
    sampler: Sampler
    num_steps: int
    shape: tuple[int, ...]
    """Of one image: channel, height, width."""
    seed: int
    device: torch.device | str = "cpu"

    def start(self, batch: int, size: int) -> Float[Tensor, "image channel height width"]:
        """Return the noise of a batch, by its number."""
        return torch.randn(size, *self.shape, generator=stream(self.seed, "samples/start", batch))

    @torch.no_grad()
    def walk(
        self, batch: int, noise: Float[Tensor, "image channel height width"], keeps: bool = False
    ) -> tuple[Float[Tensor, "image channel height width"], Watched]:
        """Return the images [-1, 1] that the noise becomes, on the processor, and what the denoiser did."""
        watched = Watched(Clamped(self.denoiser), keeps)
        fresh = stream(self.seed, f"samples/{self.sampler} {self.num_steps}", batch, self.device)
        flow_map = SAMPLERS[self.sampler](watched, fresh)
        grid = self.denoiser.process.grid(self.num_steps)
        images = flow_maps.sample(flow_map, noise.to(self.device), grid)
        return images.clamp(-1.0, 1.0).cpu(), watched


class Drawn(NamedTuple):
    """Samples, and the network calls that each of them took."""

    images: Float[Tensor, "image channel height width"]
    num_calls: int


def draw(road: Road, num_samples: int, batch_size: int = 64) -> Drawn:
    """Return samples in [-1, 1], drawn in batches."""
    batches, num_calls = [], 0
    for batch, first in enumerate(range(0, num_samples, batch_size)):
        noise = road.start(batch, batch_size)[: num_samples - first]
        images, watched = road.walk(batch, noise)
        batches.append(images)
        num_calls = watched.num_calls
    return Drawn(torch.cat(batches), num_calls)


def strips(
    road: Road, num_samples: int, num_shown: int = 9
) -> Float[Tensor, "image shown channel height width"]:
    """Return what the denoiser takes each of the first samples for, at evenly spaced calls, then the sample itself."""
    images, watched = road.walk(0, road.start(0, num_samples), keeps=True)
    last = watched.num_calls - 1
    places = torch.linspace(0, last, min(num_shown, last + 1)).round().long().unique().tolist()
    return torch.stack([*(watched.estimates[place].cpu() for place in places), images], dim=1)


def as_bytes(images: Float[Tensor, "*shape"]) -> Tensor:
    """Return images in [-1, 1] as a file would hold them: uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
