"""What the output F of a network means, as three coefficients.

    x0_hat = c_skip x_t + c_out F(c_in x_t, logSNR)

With q = (alpha std)^2 + sigma^2 the variance of x_t for data of standard deviation std, c_in = 1 / sqrt(q) in all
cases: the network's input has unit variance at every noise level. Rescaling (alpha, sigma, x_t) together leaves
x0_hat unchanged, so a trained network can be moved to another process. Losses are defined in x0-space, where the
squared error is c_out^2 times the squared error of F.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Coefficients(NamedTuple):
    """The three numbers, at each noise level, between a network and x0_hat."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor


Parameterization = Callable[[Tensor, Tensor], Coefficients]
"""(alpha, sigma) -> Coefficients."""


def x0(data_std: float = 1.0) -> Parameterization:
    """Let the network predict the data: c_skip = 0, c_out = 1."""

    def coefficients(alpha: Tensor, sigma: Tensor) -> Coefficients:
        return Coefficients(_c_in(alpha, sigma, data_std), torch.zeros_like(alpha), torch.ones_like(alpha))

    return coefficients


def eps(data_std: float = 1.0) -> Parameterization:
    """Let the network predict the noise: c_skip = 1 / alpha, c_out = -sigma / alpha.

    Where alpha vanishes (t = 1 of Linear and Cosine) the noise says nothing about the data: one error of the
    network there is an arbitrarily large error of x0_hat. Prefer `v` or `flow` for those processes.
    Source: Ho et al., arXiv:2006.11239, equation 11.
    """

    def coefficients(alpha: Tensor, sigma: Tensor) -> Coefficients:
        return Coefficients(_c_in(alpha, sigma, data_std), 1 / alpha, -sigma / alpha)

    return coefficients


def v(data_std: float = 1.0) -> Parameterization:
    """Let the network predict (alpha noise - sigma x0) / sqrt(alpha^2 + sigma^2).

    c_skip = alpha / d and c_out = -sigma / sqrt(d) with d = alpha^2 + sigma^2.
    Source: Salimans and Ho, arXiv:2202.00512, appendix D.
    """

    def coefficients(alpha: Tensor, sigma: Tensor) -> Coefficients:
        d = alpha**2 + sigma**2
        return Coefficients(_c_in(alpha, sigma, data_std), alpha / d, -sigma / d.sqrt())

    return coefficients


def flow(data_std: float = 1.0) -> Parameterization:
    """Let the network predict noise - x0: c_skip = 1 / (alpha + sigma), c_out = -sigma / (alpha + sigma).

    Source: Lipman et al., arXiv:2210.02747; the sign is that of rising noise.
    """

    def coefficients(alpha: Tensor, sigma: Tensor) -> Coefficients:
        total = alpha + sigma
        return Coefficients(_c_in(alpha, sigma, data_std), 1 / total, -sigma / total)

    return coefficients


def edm(data_std: float = 1.0) -> Parameterization:
    """Let the network predict what is left of x0 after the best linear guess from x_t, at unit variance.

    c_skip = alpha std^2 / q and c_out = sigma std / sqrt(q) with q = (alpha std)^2 + sigma^2; at std = 1 it is -v.
    Source: Karras et al., arXiv:2206.00364, table 1.
    """

    def coefficients(alpha: Tensor, sigma: Tensor) -> Coefficients:
        c_in = _c_in(alpha, sigma, data_std)
        return Coefficients(c_in, alpha * data_std**2 * c_in**2, sigma * data_std * c_in)

    return coefficients


def _c_in(alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    return 1 / torch.sqrt((alpha * data_std) ** 2 + sigma**2)
