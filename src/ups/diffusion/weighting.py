"""Weights of the squared x0 error as functions of logSNR, whatever the network predicts.

A weighting never sees `t`, so no flip of a time axis can invert it. In these units the plain loss on the noise is
`snr()`, the plain loss on v is SNR + 1, and the plain loss on x0 is `uniform()`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Weighting = Callable[[Tensor], Tensor]
"""logSNR -> weight on |x0_hat - x0|^2, of the same shape."""


def uniform() -> Weighting:
    """Weight every noise level alike: 1."""
    return torch.ones_like


def snr() -> Weighting:
    """Weight by SNR, which is the plain squared error of the noise (DDPM's simple loss)."""
    return torch.exp


def min_snr(gamma: float = 5.0) -> Weighting:
    """Weight by min(SNR, gamma).

    The weight on the noise error is then min(SNR, gamma) / SNR.
    Source: Hang et al., arXiv:2303.09556.
    """
    return lambda logsnr: torch.exp(logsnr).clamp(max=gamma)


def soft_min_snr(gamma: float = 5.0) -> Weighting:
    """Weight by gamma SNR / (SNR + gamma), a smooth `min_snr`.

    Source: Crowson et al., arXiv:2401.11605.
    """
    return lambda logsnr: gamma / (1 + gamma * torch.exp(-logsnr))


def ramp(low: float = 0.1) -> Weighting:
    """Weight by low + (1 - low) share, where share = sqrt(SNR) / (1 + sqrt(SNR)): 1 at data, `low` at noise.

    The share is the data's coefficient on the linear path.
    Source: Hafner et al. (Dreamer 4), arXiv:2509.24527, equation 8.
    """
    return lambda logsnr: low + (1 - low) * torch.sigmoid(logsnr / 2)


def edm(data_std: float = 0.5) -> Weighting:
    """Weight by SNR + 1 / data_std^2, so that the loss of the network's raw output counts alike at all levels.

    Source: Karras et al., arXiv:2206.00364, table 1.
    """
    return lambda logsnr: torch.exp(logsnr) + 1 / data_std**2


class Learned(nn.Module):
    """Divide another weighting by the error measured at each level, so that all levels contribute alike.

    The weight is `prior(logSNR) exp(-u(logSNR))`, u piecewise linear between knots. Add `penalty` to the weighted
    loss: weighted error + u is least where exp(u) is the mean prior-weighted error of that level.
    Source: Karras et al., arXiv:2312.02696 (EDM2's learned uncertainty).
    """

    def __init__(self, prior: Weighting, low: float = -20.0, high: float = 20.0, num_knots: int = 41) -> None:
        super().__init__()
        self.prior, self.low, self.high = prior, low, high
        self.u = nn.Parameter(torch.zeros(num_knots))

    def penalty(self, logsnr: Float[Tensor, "*level"]) -> Float[Tensor, "*level"]:
        """Return u, the learned logarithm of the error at this level."""
        last = len(self.u) - 1
        position = ((logsnr - self.low) / (self.high - self.low)).clamp(0, 1) * last
        k = position.floor().long().clamp(max=last - 1)
        return torch.lerp(self.u[k], self.u[k + 1], (position - k).to(self.u.dtype))

    def forward(self, logsnr: Float[Tensor, "*level"]) -> Float[Tensor, "*level"]:
        """Return prior exp(-u)."""
        return self.prior(logsnr) * torch.exp(-self.penalty(logsnr))
