"""The power spectrum of what an operator gets wrong: samples of it, its best linear denoiser, draws brought to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.process import NoiseProcess, expand

LARGEST_GAIN = 2.0
"""More is not a matter of scale: a correction that draws a quarter of the power has failed, and should show it."""


def mode_powers(residuals: Float[Tensor, "sample token dim"]) -> Float[Tensor, "sample mode dim"]:
    """Return the power of each Fourier mode along the tokens, for each sample and channel, in float64.

    |r_k|^2 with r_k = sum_j r_j exp(-2 pi i j k / N) / sqrt(N), k = 0 ... N // 2, in units of the residual squared.
    About zero, not about a mean: white noise of variance v has the mean power v at every k, a constant c has N c^2
    at k = 0 and no other.
    """
    return torch.fft.rfft(residuals.double(), dim=1, norm="ortho").abs().square()


class ResidualSpectrum(nn.Module):
    """A centred Gaussian law of residuals on a line of tokens: stationary, its channels independent.

    `power` is the mean of `mode_powers`. It is a buffer, so that the law moves between devices with its owner.
    """

    power: Tensor

    def __init__(self, power: Float[Tensor, "mode dim"], num_tokens: int) -> None:
        super().__init__()
        if len(power) != num_tokens // 2 + 1:
            raise ValueError(f"{num_tokens} tokens have {num_tokens // 2 + 1} modes, not {len(power)}")
        self.register_buffer("power", power.float())
        self.num_tokens = num_tokens

    @property
    def std(self) -> Float[Tensor, " dim"]:
        """Root mean square of a token, for each channel: sqrt(mean_k S_k) over all N modes of the line."""
        mode = torch.arange(len(self.power), device=self.power.device)
        twice = (mode > 0) & (2 * mode < self.num_tokens)  # mode k stands for -k too, if that is another
        share = (1.0 + twice) / self.num_tokens
        return (share[:, None] * self.power).sum(0).sqrt()

    def sample(self, batch: int, generator: Generator) -> Float[Tensor, "batch token dim"]:
        """Return independent draws: white noise, each of its modes scaled by sqrt(S_k).

        Noise that is real in space has the right complex modes, those that are real (the mean, and for an even
        number of tokens the shortest wave) included.
        """
        shape = batch, self.num_tokens, self.power.shape[1]
        white = torch.randn(shape, generator=generator, device=generator.device).to(self.power.device)
        modes = self.power.sqrt() * torch.fft.rfft(white, dim=1, norm="ortho")
        return torch.fft.irfft(modes, n=self.num_tokens, dim=1, norm="ortho")


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
        alpha, sigma = (expand(scale.to(x_t), x_t) for scale in self.process.finite_scales(t))
        power = self.spectrum.power / self.spectrum.std.square()
        modes = torch.fft.rfft(x_t, dim=1, norm="ortho") * (alpha * power / (alpha**2 * power + sigma**2))
        return torch.fft.irfft(modes, n=x_t.shape[1], dim=1, norm="ortho")


class SpectralGain(nn.Module):
    """Multiply each Fourier mode along the tokens by a number of its own, channel by channel; 1 until matched."""

    gain: Tensor

    def __init__(self, num_tokens: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(num_tokens // 2 + 1, dim))

    def forward(self, tokens: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        """Return the tokens with every mode scaled."""
        modes = self.gain * torch.fft.rfft(tokens, dim=1, norm="ortho")
        return torch.fft.irfft(modes, n=tokens.shape[1], dim=1, norm="ortho")

    def match(
        self, drawn: Float[Tensor, "sample mode dim"], wanted: Float[Tensor, "sample mode dim"]
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
