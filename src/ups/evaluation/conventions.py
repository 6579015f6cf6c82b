"""Conventions: one forecast scored the way that other projects score it, so that published numbers can be compared.

Each function takes a forecast and the truth of its scored frames and returns that project's numbers, averaged its way.
The same forecast differs by factors of 1.05 (PDEBench's batch count) to 3 and more (per frame or per trajectory).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Forecast = Float[Tensor, "batch time field cell"]

WELL_EPSILON = 1e-7


def pdebench_fixed(prediction: Forecast, truth: Forecast) -> dict[str, float]:
    """PDEBench's formulas over the whole test set at once, in one dimension.

    RMSE and nRMSE: mean over trajectories, fields and frames of the frame's number. cRMSE: RMS of the mean error over
    trajectories, then the mean. Max: the maximum over trajectories and cells, then the mean. fRMSE:
    sqrt(mean over trajectories of |rfft e|^2) / N, averaged over wavenumbers 0..3, 4..11 and the rest.
    Source: PDEBench, arXiv:2210.07182, `metric_func` of its code, for its length of 1.
    """
    error, truth = prediction.double() - truth.double(), truth.double()
    rmse = _rms(error, -1)
    amplitude = _rms(torch.fft.rfft(error, norm="forward").abs(), 0)
    return {
        "rmse": rmse.mean().item(),
        "nrmse": (rmse / _rms(truth, -1)).mean().item(),
        "crmse": _rms(error.mean(-1), 0).mean().item(),
        "max_error": error.abs().amax((0, -1)).mean().item(),
        "brmse": _rms(error[..., [0, -1]], -1).mean().item(),
        "frmse_low": amplitude[..., :4].mean().item(),
        "frmse_mid": amplitude[..., 4:12].mean().item(),
        "frmse_high": amplitude[..., 12:].mean().item(),
    }


def pdebench_code(prediction: Forecast, truth: Forecast, batch_size: int = 50) -> dict[str, float]:
    """Return what PDEBench's code prints: `pdebench_fixed` per batch, summed, over the *index* of the last batch.

    With 1000 trajectories in batches of 50 every number is 20/19 of the mean over batches. Where a metric is not
    additive (cRMSE, Max, fRMSE), the mean over batches differs from the whole set's number too.

    Raises:
        ValueError: there is one batch only; PDEBench's code would then divide by zero.
    """
    batches = [
        pdebench_fixed(forecast, target)
        for forecast, target in zip(prediction.split(batch_size), truth.split(batch_size), strict=True)
    ]
    if len(batches) == 1:
        raise ValueError("one batch only: PDEBench's code divides by its index, 0")
    return {name: sum(batch[name] for batch in batches) / (len(batches) - 1) for name in batches[0]}


def rel_l2(prediction: Forecast, truth: Forecast) -> dict[str, float]:
    """Relative L2 error of whole trajectories, all fields in one norm: mean of |e|_{t,x,c} / |u|_{t,x,c}.

    Source: neuraloperator's LpLoss; CALM-PDE, PDEArena ("scaledlp"), CodePDE.
    """
    error, truth = (prediction.double() - truth.double()).flatten(1), truth.double().flatten(1)
    return {"relative_l2": (error.norm(dim=1) / truth.norm(dim=1)).mean().item()}


def apebench(prediction: Forecast, truth: Forecast) -> dict[str, float]:
    """APEBench's rollout nRMSE: per trajectory and frame the *sum* over fields of |e| / |u|, mean over trajectories.

    Then the arithmetic ("nrmse") and the geometric mean ("geometric_nrmse") over frames. With C fields it is C
    times a mean over fields. Source: APEBench, arXiv:2411.00180.
    """
    error, truth = prediction.double() - truth.double(), truth.double()
    per_frame = (_rms(error, -1) / _rms(truth, -1)).sum(-1).mean(0)
    return {"nrmse": per_frame.mean().item(), "geometric_nrmse": per_frame.log().mean().exp().item()}


def well(prediction: Forecast, truth: Forecast) -> dict[str, float]:
    """The Well's VRMSE and NRMSE: sqrt(mean e^2 / (norm + 1e-7)), mean over trajectories, frames and fields.

    The norm is the variance in space, divided by N - 1, or the mean square. Source: The Well, arXiv:2412.00568.
    """
    error, truth = prediction.double() - truth.double(), truth.double()
    norms = {"vrmse": truth.var(-1), "nrmse": truth.square().mean(-1)}
    square = error.square().mean(-1)
    return {name: (square / (norm + WELL_EPSILON)).sqrt().mean().item() for name, norm in norms.items()}


def _rms(values: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    return values.square().mean(axis).sqrt()
