"""Metrics: plain functions from an ensemble forecast and the truth to one number per frame or trajectory.

All are computed in physical units and float64, per trajectory and per field. Nothing is averaged over what a report
may want to split: a metric has the shape [batch time field], or [batch field] where it judges a whole trajectory.
Write e = prediction - truth, u = truth, mean = mean over the N cells of a frame. The ensemble's mean is scored unless
a metric says otherwise. A frame of the forecast that is not finite gives NaN here; `evaluate.score` turns it into the
worst value. 0/0 (a perfect forecast of a field that is zero) is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ups.evaluation.spectra import octaves, power_spectrum
from ups.types import Fields

Forecast = Float[Tensor, "member batch time field *space"]
Truth = Float[Tensor, "batch time field *space"]
PerFrame = Float[Tensor, "batch time field"]
PerTrajectory = Float[Tensor, "batch field"]
Metric = Callable[[Forecast, Truth, Fields], PerFrame | PerTrajectory]

CORRELATED = 0.8
SPECTRAL_FLOOR = 1e-12


def nrmse(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error over the RMS of the truth of the same frame: sqrt(mean e^2 / mean u^2).

    0 is perfect, 1 as bad as predicting zero. The ratio is formed per trajectory, frame and field, without an
    epsilon, as PDEBench's code does (its paper writes one global ratio). Source: PDEBench, arXiv:2210.07182.
    """
    return _ratio(rmse(prediction, truth, fields), _rms(_flat(truth)))


def vrmse(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error over the standard deviation of the truth in space: sqrt(mean e^2 / mean (u - mean u)^2).

    1 is as bad as predicting the frame's mean. Unlike The Well (arXiv:2412.00568) the variance divides by N and has
    no epsilon; `conventions.well` computes theirs.
    """
    flat = _flat(truth)
    return _ratio(rmse(prediction, truth, fields), _rms(flat - flat.mean(-1, keepdim=True)))


def rmse(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error, sqrt(mean e^2), in units of the field."""
    return _rms(_error(prediction, truth))


def max_error(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Largest error of the frame, max |e|, in units of the field.

    PDEBench takes the maximum over the batch as well, so its figure grows with the batch size.
    """
    return _error(prediction, truth).abs().amax(-1)


def crmse(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Error of the frame's mean, |mean e|, in units of the field.

    PDEBench takes the RMS of this over a batch first (`conventions.pdebench_fixed`); here it is per trajectory.
    """
    return _error(prediction, truth).mean(-1).abs()


def brmse(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error of the cells at the edges of the grid, in units of the field, even where the domain is periodic.

    In one dimension sqrt((e_0^2 + e_{N-1}^2) / 2), as PDEBench has it.
    """
    space = truth.shape[3:]
    edge = torch.ones(space, dtype=torch.bool, device=truth.device)
    edge[(slice(1, -1),) * len(space)] = False
    return _rms(_error(prediction, truth)[..., edge.flatten()])


def frmse_low(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error carried by wavenumbers 0 to 3 (cycles per domain), in units of the field.

    sqrt(sum of P_e(k) over the band), with P_e the error's spectrum: the squares of the three bands add up to rmse^2.
    The bands are PDEBench's. Its numbers are not comparable: it averages |FFT e| / N over the band's wavenumbers
    after an RMS over the batch, so that its high band shrinks as the grid is refined.
    """
    return _band_rmse(prediction, truth, fields, 0, 4)


def frmse_mid(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error carried by wavenumbers 4 to 11; see `frmse_low`."""
    return _band_rmse(prediction, truth, fields, 4, 12)


def frmse_high(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """RMS error carried by wavenumbers of 12 and more; see `frmse_low`."""
    return _band_rmse(prediction, truth, fields, 12, None)


def spectral_error(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Mismatch of the energy spectrum in decades: RMS over octaves of log10(E_prediction / E_truth).

    E is the energy in the octaves k = 1, 2..3, 4..7, ..., each with the same weight; phases do not matter. 1 means a
    typical octave is wrong tenfold in energy. The members' spectra are averaged, not the members (a mean of members is
    smoother than any of them). 1e-12 of the truth's mean square is added to both, above the noise of float32.
    """
    floor = SPECTRAL_FLOOR * _flat(truth).square().mean(-1, keepdim=True) + torch.finfo(torch.float32).tiny
    walls = fields.grid.walls
    forecast = torch.stack([octaves(power_spectrum(member, walls)) for member in prediction]).mean(0)
    return _rms(((forecast + floor) / (octaves(power_spectrum(truth, walls)) + floor)).log10())


def energy_gap(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Relative error of the energy: |E_prediction - E_truth| / E_truth with E = mean u^2, averaged over the members."""
    energy = _flat(truth).square().mean(-1)
    return _ratio((prediction.double().flatten(4).square().mean(-1).mean(0) - energy).abs(), energy)


def conservation_gap(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Error of the integral of a conserved field, |mean e| * volume, in units of the field times length^dimensions.

    NaN for a field that `fields.conserved` does not name.
    """
    conserved = torch.tensor([name in fields.conserved for name in fields.names], device=truth.device)
    return (crmse(prediction, truth, fields) * math.prod(fields.grid.extent)).masked_fill(
        ~conserved, math.nan
    )


def correlation(prediction: Forecast, truth: Truth, fields: Fields) -> PerFrame:
    """Pearson correlation over space: cov(prediction, truth) / (std std), in [-1, 1]; more is better.

    The means are removed (APEBench's "correlation" keeps them). 0 where the prediction or the truth is constant.
    """
    forecast, flat = _flat(prediction.double().mean(0)), _flat(truth)
    forecast = forecast - forecast.mean(-1, keepdim=True)
    flat = flat - flat.mean(-1, keepdim=True)
    return _ratio((forecast * flat).mean(-1), _rms(forecast) * _rms(flat))


def relative_l2(prediction: Forecast, truth: Truth, fields: Fields) -> PerTrajectory:
    """Error of the whole trajectory, sqrt(sum e^2 / sum u^2) over its scored frames and cells.

    Early frames dominate where u decays, so it can be far below the mean of the per-frame `nrmse`.
    Source: the relative L2 loss of neural operators, arXiv:2010.08895; the metric of CALM-PDE.
    """
    error = _error(prediction, truth).square().sum((1, 3)).sqrt()
    return _ratio(error, _flat(truth).square().sum((1, 3)).sqrt())


def correlation_time(prediction: Forecast, truth: Truth, fields: Fields) -> PerTrajectory:
    """Physical time for which the forecast stays correlated: dt times the frames before the first one below 0.8.

    Censored at the horizon: num_frames * dt if it never falls below. More is better. PDE-Refiner (arXiv:2308.05732)
    counts the frames above the threshold, later recoveries included; here the first fall ends the count.
    """
    correlated = correlation(prediction, truth, fields) >= CORRELATED
    return correlated.long().cumprod(1).sum(1).double() * fields.dt


METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        nrmse,
        vrmse,
        rmse,
        max_error,
        crmse,
        brmse,
        frmse_low,
        frmse_mid,
        frmse_high,
        spectral_error,
        energy_gap,
        conservation_gap,
        correlation,
        relative_l2,
        correlation_time,
    )
}

MORE_IS_BETTER = frozenset({"correlation", "correlation_time"})


def _flat(values: Truth) -> Float[Tensor, "batch time field point"]:
    return values.double().flatten(3)


def _error(prediction: Forecast, truth: Truth) -> Float[Tensor, "batch time field point"]:
    return _flat(prediction.double().mean(0)) - _flat(truth)


def _rms(values: Float[Tensor, "batch time field point"]) -> PerFrame:
    return values.square().mean(-1).sqrt()


def _ratio(part: Float[Tensor, "*shape"], whole: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.where(part == 0, 0.0, part / whole)


def _band_rmse(prediction: Forecast, truth: Truth, fields: Fields, low: int, high: int | None) -> PerFrame:
    error = prediction.double().mean(0) - truth.double()
    return power_spectrum(error, fields.grid.walls)[..., low:high].sum(-1).sqrt()
