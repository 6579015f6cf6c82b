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


class Drawn(NamedTuple):
    """Samples, and the network calls that each of them took."""

    images: Float[Tensor, "image channel height width"]
    num_calls: int


@torch.no_grad()
def draw(
    denoiser: Posterior,
    sampler: Sampler,
    num_steps: int,
    num_samples: int,
    shape: tuple[int, ...],
    seed: int,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Drawn:
    """Return samples [-1, 1] of the given shape on the processor, drawn in batches.

    The noise at the start depends on the seed and on nothing else, so that samplers, numbers of steps and weights
    are compared on the same images to be.
    """
    batches, num_calls = [], 0
    for index, start in enumerate(range(0, num_samples, batch_size)):
        size = min(batch_size, num_samples - start)
        noise = torch.randn(batch_size, *shape, generator=stream(seed, "samples/start", index))[:size]
        watched = Watched(Clamped(denoiser))
        fresh = stream(seed, f"samples/{sampler} {num_steps}", index, device)
        flow_map = SAMPLERS[sampler](watched, fresh)
        images = flow_maps.sample(flow_map, noise.to(device), denoiser.process.grid(num_steps))
        batches.append(images.clamp(-1.0, 1.0).cpu())
        num_calls = watched.num_calls
    return Drawn(torch.cat(batches), num_calls)


@torch.no_grad()
def strips(
    denoiser: Posterior,
    sampler: Sampler,
    num_steps: int,
    num_samples: int,
    shape: tuple[int, ...],
    seed: int,
    num_shown: int = 9,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "image shown channel height width"]:
    """Return what the denoiser takes each of the first samples for, at evenly spaced calls, then the sample itself."""
    noise = torch.randn(num_samples, *shape, generator=stream(seed, "samples/start", 0))
    watched = Watched(Clamped(denoiser), keeps=True)
    flow_map = SAMPLERS[sampler](watched, stream(seed, f"samples/{sampler} {num_steps}", 0, device))
    images = flow_maps.sample(flow_map, noise.to(device), denoiser.process.grid(num_steps))
    places = (
        torch.linspace(0, watched.num_calls - 1, min(num_shown, watched.num_calls)).round().long().unique()
    )
    shown = [watched.estimates[place] for place in places.tolist()]
    return torch.stack([*shown, images.clamp(-1.0, 1.0)], dim=1).cpu()


def as_bytes(images: Float[Tensor, "*shape"]) -> Tensor:
    """Return images in [-1, 1] as a file would hold them: uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
