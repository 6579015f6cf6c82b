"""The power spectrum of what an operator gets wrong: samples of that spectrum, and its best linear denoiser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.process import NoiseProcess, expand


def mode_powers(residuals: Float[Tensor, "sample token dim"]) -> Float[Tensor, "mode dim"]:
    """Return the mean power of each Fourier mode along the tokens, for each channel, in float64.

    S_k = mean |r_k|^2 with r_k = sum_j r_j exp(-2 pi i j k / N) / sqrt(N), k = 0 ... N // 2, in units of the
    residual squared. About zero, not about a mean: white noise of variance v has S_k = v at every k, a constant c
    has S_0 = N c^2 and no other.
    """
    return torch.fft.rfft(residuals.double(), dim=1, norm="ortho").abs().square().mean(0)


class ResidualSpectrum(nn.Module):
    """A centred Gaussian law of residuals on a line of tokens: stationary, its channels independent.

    `power` is that of `mode_powers`. It is a buffer, so that the law moves between devices with its owner.
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
