"""Uncertainty: does an ensemble forecast know how wrong it is?

In physical units and float64, per trajectory, frame and field. What is a ratio is a ratio of means over trajectories,
never a mean of ratios, and is formed last; so `spread` and `squared_error` are metrics of their own, and an interval
of their ratio resamples both together. Write x_i for the M members, y for the truth, mean for the N cells of a frame.

An ensemble is calibrated if the truth could be one more of its members. Every number here has its finite-M factor,
so that a calibrated ensemble scores the same in expectation whatever its size. One member is a point forecast: its
CRPS is the absolute error, its energy score the RMS error, its spread 0; deterministic steppers share the table.
A member that is not finite makes a score NaN, as in `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ups.evaluation.metrics import Forecast, Metric, PerFrame, Truth
from ups.evaluation.spectra import power_spectrum
from ups.types import Fields

PerWavenumber = Float[Tensor, "batch time field wavenumber"]


def fair_crps(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Continuous ranked probability score of each cell, averaged over the frame, in units of the field.

    mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (M (M - 1)); 0 is perfect, less is better. The estimator is fair: its
    expectation is the score of the distribution that the members are drawn from, for every M > 1 (with M^2 in the
    place of M (M - 1) small ensembles gain by being too narrow). A single member scores its absolute error.
    The pairs are summed by sorting, in O(M log M). Source: Ferro 2014, doi:10.1002/qj.2270.
    """
    num_members = prediction.shape[0]
    error = prediction.double() - truth.double()
    accuracy = error.abs().mean((0, *range(4, error.ndim)))
    if num_members == 1:
        return accuracy
    # The k-th smallest of M (k = 0, 1, ...) is the larger one of k pairs and the smaller one of M - 1 - k.
    weight = 2 * torch.arange(num_members, dtype=error.dtype, device=error.device) - (num_members - 1)
    pairs = _ordered(error) @ weight
    return accuracy - pairs.flatten(3).mean(-1) / (num_members * (num_members - 1))


def energy_score(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Energy score of whole frames, the fair CRPS with a norm in the place of |.|, in units of the field.

    mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (M (M - 1)) with |.| the RMS over the cells of the frame: unlike the
    CRPS of cells it sees whether members are right as a whole, correlations in space included. 0 is perfect. A single
    member scores its RMS error. Source: Gneiting and Raftery 2007, doi:10.1198/016214506000001437, section 4.3.
    """
    num_members = prediction.shape[0]
    error = (prediction.double() - truth.double()).flatten(4)
    accuracy = _norm(error).mean(0)
    if num_members == 1:
        return accuracy
    pairs = torch.stack([_norm(error[i + 1 :] - error[i]).sum(0) for i in range(num_members - 1)]).sum(0)
    return accuracy - pairs / (num_members * (num_members - 1))


def spread(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """The squared error that the ensemble expects of its own mean, in units of the field squared.

    (M + 1) / M times the unbiased variance of the members, averaged over space: if the truth is one more draw, this
    is the expectation of `squared_error`. Neither more nor less is better. A single member expects no error, 0.
    Source: Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1.
    """
    return _variance(prediction).flatten(3).mean(-1)


def squared_error(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """The squared error of the ensemble's mean, averaged over space, in units of the field squared: rmse^2."""
    return (prediction.double().mean(0) - truth.double()).square().flatten(3).mean(-1)


UNCERTAINTY: dict[str, Metric] = {
    metric.__name__: metric for metric in (fair_crps, energy_score, spread, squared_error)
}


def spread_skill_ratio(spread: PerFrame, squared_error: PerFrame) -> Float[Tensor, "time field"]:
    """Root of mean `spread` over mean `squared_error`, the means over trajectories.

    1 is what a calibrated ensemble of any size has, less is overconfident, more is underconfident; a point forecast
    has 0. One is not enough to be calibrated: the ratio sees neither bias nor shape. Means are taken before the root
    and the ratio, since a mean of roots or of ratios would be biased. Source: Fortin et al. 2014.
    """
    return (spread.mean(0) / squared_error.mean(0)).sqrt()


def ranks(prediction: Forecast, truth: Truth, generator: Generator) -> Int[Tensor, "batch time field *space"]:
    """Number of members below the truth in every cell, 0 to M; uniform on them for a calibrated ensemble.

    A truth that equals members gets one of the ranks it could have, drawn from the generator. A member that is NaN
    counts as above. Source: Hamill 2001, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2.
    """
    below, equal = (prediction < truth).sum(0), (prediction == truth).sum(0)
    draw = torch.rand(truth.shape, generator=generator, dtype=torch.float64, device=truth.device)
    return below + (draw * (equal + 1)).long()


def rank_histogram(
    ranks: Int[Tensor, "batch time field *space"], num_members: int
) -> Float[Tensor, "batch time field rank"]:
    """Share of a frame's cells that have rank 0, 1, ..., M; the shares of a frame add up to 1.

    Means over trajectories, frames or fields are histograms again. U-shaped is overconfident, a dome is
    underconfident, a slope is bias.
    """
    num_ranks, flat = num_members + 1, ranks.flatten(3)
    places = torch.arange(flat[..., 0].numel(), device=flat.device).reshape(*flat.shape[:-1], 1)
    counts = torch.bincount((places * num_ranks + flat).flatten(), minlength=places.numel() * num_ranks)
    return counts.reshape(*flat.shape[:-1], num_ranks).double() / flat.shape[-1]


class Flatness(NamedTuple):
    """Whether a rank histogram is flat, and how many independent ranks would be as informative."""

    p_value: float
    effective_sample: float


def flatness(histogram: Float[Tensor, "trajectory rank"]) -> Flatness:
    """Test that ranks are uniform, given the histogram of each trajectory (its frames may be pooled).

    Only trajectories are taken for independent; neighboring cells and frames are not, and Pearson's test on their
    counts would find any calibrated ensemble of smooth fields guilty. Q = |mean f - 1/(M+1)|^2 is compared with
    b chi^2_n, of equal mean and variance: b = tr S^2 / tr S, n = (tr S)^2 / tr S^2, S the covariance of the mean
    about a flat histogram, tr S^2 freed of the bias that few trajectories give it. This is the second-order correction
    of Rao and Scott 1984, doi:10.1214/aos/1176346391. At the 5 % level it was wrong in 2 to 7 % of calibrated
    ensembles (M = 4 and 16, white and smooth fields, 10 to 100 trajectories).

    NaN with fewer than two trajectories.
    """
    num, num_ranks = histogram.shape
    if num < 2:
        return Flatness(math.nan, math.nan)
    mean, departure = histogram.mean(0), histogram - 1 / num_ranks
    distance = (mean - 1 / num_ranks).square().sum()
    covariance = departure.T @ departure / num**2
    trace, square = covariance.trace(), covariance.square().sum()
    square = num**2 / ((num - 1) * (num + 2)) * (square - trace**2 / num)
    square = square.clamp(min=trace**2 / (num_ranks - 1))
    freedom = trace**2 / square
    p_value = torch.special.gammaincc(freedom / 2, distance * trace / square / 2).item()
    scatter = histogram.var(0).sum() / num
    return Flatness(p_value if distance > 0 else 1.0, ((1 - mean.square().sum()) / scatter).item())


def nominal_coverage(num_members: int, level: float) -> float:
    """Share of truths that a calibrated ensemble's central interval holds: (M + 1 - 2k) / (M + 1).

    The interval runs from the k-th smallest to the k-th largest member, k such that its share is nearest to `level`;
    the widest one, k = 1, holds (M - 1) / (M + 1). With 16 members: 0.9 becomes 15/17, 0.5 becomes 9/17.
    """
    return (num_members + 1 - 2 * _num_cut(num_members, level)) / (num_members + 1)


def coverage(
    prediction: Forecast, truth: Truth, levels: Sequence[float]
) -> Float[Tensor, "level batch time field"]:
    """Share of a frame's cells whose truth lies inside the ensemble's central interval of each level.

    Less than `nominal_coverage(M, level)`, which is seldom quite `level`, is overconfident, more is underconfident.
    The ends belong to the interval; one that ends in NaN holds nothing.
    """
    num_members = prediction.shape[0]
    ordered = _ordered(prediction)
    inside = []
    for level in levels:
        num_cut = _num_cut(num_members, level)
        held = (ordered[..., num_cut - 1] <= truth) & (truth <= ordered[..., num_members - num_cut])
        inside.append(held.double().flatten(3).mean(-1))
    return torch.stack(inside)


def spectral_spread_skill(
    prediction: Forecast, truth: Truth, walls: Sequence[bool] = ()
) -> tuple[PerWavenumber, PerWavenumber]:
    """Return `spread` and `squared_error` split over wavenumbers 0, 1, ... (`power_spectrum`); their sums are those.

    With the means over trajectories, the root of their ratio is the spread-skill ratio of a wavenumber: an ensemble
    can have the right spread in total and at no scale. Axes that end, as `walls` says, are mirrored.
    """
    num_members = prediction.shape[0]
    mean = prediction.double().mean(0)
    error = power_spectrum(mean - truth.double(), walls)
    if num_members == 1:
        return torch.zeros_like(error), error
    spectra = (power_spectrum(member.double() - mean, walls) for member in prediction)
    return sum(spectra, torch.zeros_like(error)) * _per_member(num_members), error


def sample_spectrum_ratio(prediction: Forecast, truth: Truth) -> Float[Tensor, "time field wavenumber"]:
    """Energy of the members over that of the truth at each wavenumber, the means over trajectories taken first.

    1 is right. The mean of an ensemble has less energy where members disagree; a sample should not.
    """
    members = torch.stack([power_spectrum(member).mean(0) for member in prediction]).mean(0)
    return members / power_spectrum(truth).mean(0)


def _ordered(prediction: Forecast) -> Float[Tensor, "batch time field *space member"]:
    """Return the members in ascending order, side by side in memory, where they are sorted six times as fast."""
    return prediction.movedim(0, -1).contiguous().sort(-1).values


def _norm(values: Float[Tensor, "member batch time field cell"]) -> Float[Tensor, "member batch time field"]:
    return values.square().mean(-1).sqrt()


def _variance(prediction: Forecast) -> Truth:
    num_members = prediction.shape[0]
    if num_members == 1:
        return torch.zeros_like(prediction[0], dtype=torch.float64)
    deviation = prediction.double() - prediction.double().mean(0)
    return deviation.square().sum(0) * _per_member(num_members)


def _per_member(num_members: int) -> float:
    """(M + 1) / M, by which the truth deviates more from the mean than a member's variance, over M - 1."""
    return (num_members + 1) / (num_members * (num_members - 1))


def _num_cut(num_members: int, level: float) -> int:
    """Return the place k of the members, counted from either end, at which the interval of the level ends."""
    return min(max(1, round((num_members + 1) * (1 - level) / 2)), (num_members + 1) // 2)
