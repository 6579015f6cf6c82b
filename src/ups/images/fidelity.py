"""How far a set of generated images is from a set of real ones, measured between their features.

Features are rows `[sample feature]` of any extractor (`images/features.py`). The Frechet distance compares means
and covariances and is biased upwards by about c / N, so numbers of different sample counts do not compare. The
kernel distance (KID) is unbiased at every count and comes with a standard error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.types import Row, UserError

_BLOCK = 1024  # rows of a kernel matrix that are held at once


class Moments(NamedTuple):
    """The mean and the covariance (divisor N - 1) of a set of features."""

    mean: Float[Tensor, "feature"]
    covariance: Float[Tensor, "feature feature"]


class KernelDistance(NamedTuple):
    """An unbiased squared MMD, which may be negative, and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Fidelity:
    """The distances of one set of images to the reference, with all that a number needs to be compared."""

    features: str
    """Name of the extractor, with the digest of its weights where they can differ."""
    images: str
    """What was compared: "ddim 50 ema", or an anchor."""
    num_samples: int
    num_reference: int
    frechet: float
    kid: KernelDistance

    def rows(self, run: str, variant: str = "", seed: int = 0) -> list[Row]:
        """Return the distances as rows; the protocol holds the features and both counts, so no others share it.

        The Frechet distance is called "fid" on Inception features, and on those only.
        """
        protocol = f"{self.features}, {self.num_samples} against {self.num_reference}"
        values = {
            "fid" if self.features.startswith("inception/") else "frechet": self.frechet,
            "kid": self.kid.value,
            "kid_standard_error": self.kid.standard_error,
        }
        return [
            Row(run, variant, seed, protocol, self.images, -1, metric, "", math.nan, value)
            for metric, value in values.items()
        ]


def fidelity(
    features: str,
    images: str,
    a: Float[Tensor, "sample feature"],
    b: Float[Tensor, "reference feature"],
) -> Fidelity:
    """Return both distances of the features `a` of some images to the features `b` of the reference.

    They are infinite if a feature of `a` is not finite: a sampler that blew up has a number too.

    Raises:
        UserError: there are too few samples for the Frechet distance.
    """
    if a.isfinite().all():
        frechet, kernel = frechet_distance(a, b), kid(a, b)
    else:
        frechet, kernel = math.inf, KernelDistance(math.inf, math.inf)
    return Fidelity(features, images, len(a), len(b), frechet, kernel)


def require_enough_samples(num_samples: int, num_features: int) -> None:
    """Refuse a Frechet distance whose covariance would be singular; ask before the samples are drawn.

    Raises:
        UserError: there are not more samples than features.
    """
    if num_samples <= num_features:
        raise UserError(
            f"Frechet distance: {num_samples} samples are too few for {num_features} features; "
            f"draw at least {num_features + 1} samples or choose features of fewer dimensions"
        )


def moments(features: Float[Tensor, "sample feature"]) -> Moments:
    """Return the mean and the covariance in float64.

    Raises:
        UserError: there are not more samples than features.
    """
    num_samples, num_features = features.shape
    require_enough_samples(num_samples, num_features)
    features = features.double()
    return Moments(features.mean(0), torch.cov(features.T).reshape(num_features, num_features))


def gaussian_distance(a: Moments, b: Moments) -> float:
    """Return the squared 2-Wasserstein distance of two Gaussians.

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^(1/2) S_b S_a^(1/2))^(1/2)), where the last trace, equal to that of
    (S_a S_b)^(1/2), is of a symmetric matrix. Dowson and Landau (1982); Heusel et al. (arXiv:1706.08500), eq. 6.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    shift = (a.mean - b.mean).square().sum()
    return float(shift + a.covariance.trace() + b.covariance.trace() - 2 * overlap)


def frechet_distance(a: Float[Tensor, "sample feature"], b: Float[Tensor, "other feature"]) -> float:
    """Return the Frechet distance of the Gaussians that have the moments of two sets of features.

    Raises:
        UserError: a set has not more samples than features.
    """
    return gaussian_distance(moments(a), moments(b))


def frechet_bias(
    features: Float[Tensor, "sample feature"], sizes: Sequence[int], generator: Generator
) -> dict[int, float]:
    """Return, for each size, the Frechet distance of two disjoint random subsets of that size of one set.

    Both have the same law, so that the distance is all bias: about c / size, with c = 2d + d (d + 1) / 2 for d white
    Gaussian features.

    Raises:
        UserError: a size is more than half of the set, or not more than the number of features.
    """
    biases = {}
    for size in sizes:
        if 2 * size > len(features):
            raise UserError(
                f"Frechet bias: two disjoint sets of {size} do not fit into {len(features)} samples; "
                f"choose at most {len(features) // 2}"
            )
        order = torch.randperm(len(features), generator=generator, device=generator.device)
        first, second = order[: 2 * size].to(features.device).chunk(2)
        biases[size] = frechet_distance(features[first], features[second])
    return biases


def kid(a: Float[Tensor, "sample feature"], b: Float[Tensor, "other feature"]) -> KernelDistance:
    """Return the kernel distance of two sets of features: the U-statistic of the squared MMD.

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{ij} k(a_i, b_j) with k(x, y) = (x.y / d + 1)^3
    (Binkowski et al., arXiv:1801.01401). Unlike the usual spread over subsets of the same samples, the standard
    error holds for new samples: the jackknife, leaving out each sample of either set in turn. It is right where the
    laws differ and sqrt(2) too wide where they are the same, since then the first-order term vanishes (Efron and
    Stein, 1981).

    Raises:
        UserError: a set has fewer than three samples.
    """
    m, n = len(a), len(b)
    if min(m, n) < 3:
        raise UserError(f"kernel distance: {min(m, n)} samples are too few; draw at least 3")
    a, b = a.double(), b.double()
    own_a = _kernel_sums(a, a) - _cubic(a.square().sum(1), a.shape[1])
    own_b = _kernel_sums(b, b) - _cubic(b.square().sum(1), b.shape[1])
    a_to_b, b_to_a = _kernel_sums(a, b), _kernel_sums(b, a)
    value = own_a.sum() / (m * (m - 1)) + own_b.sum() / (n * (n - 1)) - 2 * a_to_b.sum() / (m * n)
    without_a = _left_out(own_a, m) - 2 * (a_to_b.sum() - a_to_b) / ((m - 1) * n)
    without_b = _left_out(own_b, n) - 2 * (b_to_a.sum() - b_to_a) / (m * (n - 1))
    variance = (m - 1) * without_a.var(correction=0) + (n - 1) * without_b.var(correction=0)
    return KernelDistance(float(value), float(variance.sqrt()))


def _cubic(product: Float[Tensor, "*shape"], num_features: int) -> Float[Tensor, "*shape"]:
    return (product / num_features + 1) ** 3


def _kernel_sums(
    x: Float[Tensor, "sample feature"], y: Float[Tensor, "other feature"]
) -> Float[Tensor, "sample"]:
    """Return sum_j k(x_i, y_j) for each i, without ever holding the whole matrix."""
    return torch.cat([_cubic(block @ y.T, x.shape[1]).sum(1) for block in x.split(_BLOCK)])


def _left_out(sums: Float[Tensor, "sample"], count: int) -> Float[Tensor, "sample"]:
    """Return the mean over the pairs of a set that do not hold sample i, from each sample's sum over the others."""
    return (sums.sum() - 2 * sums) / ((count - 1) * (count - 2))
