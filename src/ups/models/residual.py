"""The power spectrum of what an operator gets wrong: samples of it, its best linear denoiser, draws brought to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.process import NoiseProcess, expand
from ups.models.autoencoder import Codec
from ups.models.token_waves import TokenWaves, lattice
from ups.types import Grid

LARGEST_GAIN = 2.0
"""More is not a matter of scale: a correction that draws a quarter of the power has failed, and should show it."""


class ResidualSpectrum(nn.Module):
    """A centred Gaussian law of residuals on a grid of tokens: its modes independent, so are its channels.

    Along periodic axes it is stationary. `power` is the mean of `mode_powers`. It is a buffer, so that the law moves
    between devices with its owner.
    """

    power: Tensor

    def __init__(self, power: Float[Tensor, "*mode dim"], grid: Grid) -> None:
        super().__init__()
        self.grid, self.waves = grid, TokenWaves(grid)
        if tuple(power.shape[:-1]) != self.waves.mode_shape:
            raise ValueError(
                f"{grid} tokens have {self.waves.mode_shape} modes, not {tuple(power.shape[:-1])}"
            )
        self.register_buffer("power", power.float())

    @classmethod
    def white(cls, codec: Codec) -> ResidualSpectrum:
        """Return the law of white noise of deviation 1 on the tokens of a codec, until the residuals are known."""
        grid = lattice(codec)
        return cls(torch.ones(*TokenWaves(grid).mode_shape, codec.dim), grid)

    @property
    def std(self) -> Float[Tensor, " dim"]:
        """Root mean square of a token, for each channel: the root of the mean of S over all modes."""
        return (self.waves.shares().to(self.power) * self.power).flatten(0, -2).sum(0).sqrt()

    def sample(self, batch: int, generator: Generator) -> Float[Tensor, "batch token dim"]:
        """Return independent draws: white noise, each of its modes scaled by sqrt(S_k).

        Noise that is real in space has the right complex modes, those that are real (the mean, and for an even
        number of tokens the shortest wave) included.
        """
        shape = batch, math.prod(self.grid.shape), self.power.shape[-1]
        white = torch.randn(shape, generator=generator, device=generator.device).to(self.power.device)
        return self.waves.back(self.power.sqrt() * self.waves.forth(white))


@dataclass(frozen=True)
class Wiener:
    """The best linear denoiser of Gaussian residuals of a spectrum: (x_t, t) -> x0_hat, mode by mode.

    x0_hat_k = alpha S_k / (alpha^2 S_k + sigma^2) x_k, with S_k the spectrum of the residual over `std` of its
    channel, which must vary. For Gaussian residuals no denoiser is better; one that is has learned more than the
    spectrum.
    """

    spectrum: ResidualSpectrum
    process: NoiseProcess

    def __call__(
        self, x_t: Float[Tensor, "batch token dim"], t: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the linear estimate of the standardized residual."""
        waves, power = self.spectrum.waves, self.spectrum.power / self.spectrum.std.square()
        modes = waves.forth(x_t)
        alpha, sigma = (expand(scale.to(x_t), modes.real) for scale in self.process.finite_scales(t))
        return waves.back(modes * (alpha * power / (alpha**2 * power + sigma**2)))


class SpectralGain(nn.Module):
    """Multiply each mode of tokens on a grid by a number of its own, channel by channel; 1 until matched."""

    gain: Tensor

    def __init__(self, grid: Grid, dim: int) -> None:
        super().__init__()
        self.waves = TokenWaves(grid)
        self.register_buffer("gain", torch.ones(*self.waves.mode_shape, dim))

    def forward(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens with every mode scaled."""
        return self.waves.back(self.gain * self.waves.forth(tokens))

    def match(
        self, drawn: Float[Tensor, "sample *mode dim"], wanted: Float[Tensor, "sample *mode dim"]
    ) -> None:
        """Scale draws of these powers to the mean powers that are wanted, as far as the samples are evidence.

        l = log(mean wanted / mean drawn), with the standard error e that paired samples leave, is shrunk to
        l max(0, 1 - e^2 / l^2): where l is within e of zero nothing changes. Gains are at most `LARGEST_GAIN`; a mode
        that is not drawn is left alone, one that never occurs is removed.

        Source: the positive part of James and Stein's estimator, one number at a time.
        """
        there, here = wanted.mean(0), drawn.mean(0)
        tiny = torch.finfo(drawn.dtype).tiny
        ratio = (there / here.clamp(min=tiny)).clamp(min=tiny).log()
        error = (wanted / there.clamp(min=tiny) - drawn / here.clamp(min=tiny)).square().mean(0) / len(drawn)
        sure = (1 - error / ratio.square().clamp(min=tiny)).clamp(min=0)
        gain = (sure * ratio / 2).exp().clamp(max=LARGEST_GAIN)
        gain = torch.where(there > 0, gain, 0.0)
        self.gain.copy_(torch.where(here > 0, gain, 1.0))
