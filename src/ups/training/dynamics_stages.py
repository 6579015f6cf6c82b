"""How a world model is trained: shortcut forcing, with a noise level and a hop for every frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from ups.diffusion.flow_maps import move
from ups.diffusion.losses import denoising, shortcut
from ups.diffusion.process import NoiseProcess
from ups.diffusion.times import Hops, dyadic
from ups.models.dynamics import Dynamics, Latents
from ups.training.stages import Loss, PerWindow
from ups.types import Trajectory


@dataclass(frozen=True)
class Forcing:
    """Train a world model on windows of latent frames; `unroll` holds pairs (fraction of the budget, frames).

    Every frame draws its hop: its length a power of two, its start on the grid of that length. In a share of the
    windows hops are long, and lead where two half hops lead, without gradient; in the others they are the finest, and
    point at the data; both have one weight, a function of the noise level. The trivial predictor knows the mean of the
    latents.
    """

    name: str
    dynamics: Dynamics
    unroll: tuple[tuple[float, int], ...] = ((0.0, 8),)

    @property
    def model(self) -> nn.Module:
        """The world model; its codec is fixed."""
        return self.dynamics

    def window(self, progress: float) -> int:
        """Return the frames of the phase at `progress`."""
        return max(2, [steps for start, steps in self.unroll if start <= progress][-1])

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the loss of each window, and that of the trivial predictor."""
        dynamics = self.dynamics
        with torch.no_grad():
            x0 = dynamics.latents(batch.values)
        given = given_of(dynamics, batch, x0, generator)
        if dynamics.settings.method == "regression":
            return self._regression(given, x0)
        noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
        long = round(dynamics.settings.bootstrap * len(x0)) if dynamics.settings.method == "shortcut" else 0
        losses, trivial = [], []
        for rows, is_long in ((slice(0, long), True), (slice(long, None), False)):
            if not len(x0[rows]):
                continue
            loss, known = self._hops(given.rows(rows), x0[rows], noise[rows], is_long, generator)
            losses.append(loss)
            trivial.append(known)
        return torch.cat(losses), {"trivial": torch.cat(trivial)}

    def _hops(
        self, given: Given, x0: Latents, noise: Latents, is_long: bool, generator: Generator
    ) -> tuple[PerWindow, PerWindow]:
        """Return the loss of windows that learn long hops, or the finest ones, and that of the trivial predictor."""
        dynamics, process = self.dynamics, self.dynamics.process
        hops = draw_hops(dynamics, x0, is_long, generator)
        t, s = hops.t.to(x0), hops.s.to(x0)
        weighting = dynamics.settings.weighting.build()
        if is_long:
            loss = shortcut(given, given, x0, noise, t, s, hops.smallest, weighting)
        else:
            loss = denoising(Finest(given, s), x0, noise, t, weighting)
        weight = weighting(process.logsnr(t))
        return loss, (weight * x0.square().flatten(2).mean(2)).mean(1)

    def _regression(self, given: Given, x0: Latents) -> Loss:
        """Ask for the mean of the last frame, given those before it as they are."""
        t = torch.zeros(x0.shape[:2], device=x0.device)
        t[:, -1] = 1
        x_t = torch.where(t[..., None, None] > 0, 0.0, x0)
        wrong = given.x0(x_t, t, torch.zeros_like(t))[:, -1] - x0[:, -1]
        still = x0[:, -2] - x0[:, -1]
        return wrong.square().flatten(1).mean(1), {"trivial": still.square().flatten(1).mean(1)}


def given_of(dynamics: Dynamics, batch: Trajectory, x0: Latents, generator: Generator) -> Given:
    """Return the flow map of a batch of windows: before its first frame no action is known."""
    rows, frames = x0.shape[:2]
    actions = batch.actions if batch.actions is not None else batch.values.new_zeros(rows, frames, 0)
    taken = torch.cat([torch.zeros_like(actions[:, :1]), actions[:, :-1]], 1)
    known = torch.full((rows, frames), bool(dynamics.fields.actions), device=x0.device)
    known[:, 0] = False
    settings = dynamics.settings
    share = 0.0 if settings.method == "regression" else settings.alone
    alone = torch.rand((rows,), generator=generator, device=generator.device) < share
    return Given(
        dynamics, taken, known, dynamics.normalizer.normalize_params(batch.params), alone.to(x0.device)
    )


def draw_hops(dynamics: Dynamics, x0: Latents, is_long: bool, generator: Generator) -> Hops:
    """Return the hop of every frame; in some windows all frames but the last have the noise of a context."""
    settings, shape = dynamics.settings, tuple(x0.shape[:2])
    t, s, smallest = dyadic(settings.num_levels, 0.0 if is_long else 1.0)(shape, generator)
    if settings.method == "full_sequence":
        return Hops(*(part[:, :1].expand(shape) for part in (t, s, smallest)))
    if settings.method == "ramped":
        return ramped(dynamics.context_level, settings.num_levels, shape, generator)
    rolled = torch.rand((shape[0], 1), generator=generator, device=generator.device) < settings.prompted
    earlier = rolled & (torch.arange(shape[1], device=t.device) < shape[1] - 1)

    def put(level: float, drawn: Tensor) -> Tensor:
        return torch.where(earlier, torch.full_like(drawn, level), drawn)

    level = dynamics.context_level
    return Hops(put(level, t), put(level - dynamics.finest, s), smallest | earlier)


def ramped(level: float, num_levels: int, shape: tuple[int, ...], generator: Generator) -> Hops:
    """Return finest hops whose levels rise evenly to 1 along the frames after a context of random length.

    The context's frames have one level. So a frame's noise is tied to how far ahead it is: the first after a context
    of many is never pure noise. It is no diffusion forcing, which draws the level of each frame by itself.
    """
    rows, frames = shape
    start = torch.randint(frames, (rows, 1), generator=generator, device=generator.device)
    ahead = torch.arange(frames, device=generator.device) - start + 1
    finest = 2.0**-num_levels
    risen = (ahead / (frames - start) / finest).ceil() * finest
    t = torch.where(ahead > 0, risen, torch.full_like(risen, level))
    return Hops(t, t - finest, torch.ones_like(t, dtype=torch.bool))


@dataclass(frozen=True)
class Given:
    """The flow map of a world model for whole windows at once, each frame at its own level (a `Jumper`)."""

    dynamics: Dynamics
    taken: Float[Tensor, "batch time action"]
    known: Bool[Tensor, "batch time"]
    params: Float[Tensor, "batch param"]
    alone: Bool[Tensor, " batch"]

    def rows(self, index: slice) -> Given:
        """Return what is given for some windows."""
        parts = (self.taken, self.known, self.params, self.alone)
        return Given(self.dynamics, *(part[index] for part in parts))

    @property
    def process(self) -> NoiseProcess:
        """The noise process of `t` and `s`."""
        return self.dynamics.process

    def x0(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return the constant estimate of the data with which `move` lands on x_s."""
        given = (self.taken, self.known, self.params)
        return self.dynamics.denoise(x_t, t, s, *given, alone=self.alone)[0]

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return x_s."""
        return move(self.process, x_t, self.x0(x_t, t, s), t, s)


@dataclass(frozen=True)
class Finest:
    """A world model as a denoiser: it is told where each hop ends."""

    given: Given
    s: Float[Tensor, "batch time"]

    @property
    def process(self) -> NoiseProcess:
        """The noise process."""
        return self.given.process

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of the data."""
        return self.given.x0(x_t, t, self.s)
