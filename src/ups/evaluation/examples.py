"""Examples: a good, the median and the worst test trajectory, and mean spectra, saved for the report to draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ups.evaluation.protocols import PDEBENCH, Protocol
from ups.evaluation.spectra import power_spectrum
from ups.files import written_whole
from ups.types import Trajectory

LABELS = ("good", "median", "worst")


def choose(errors: Float[np.ndarray, "trajectory"]) -> Int[np.ndarray, "3"]:
    """Return the trajectories whose errors are the 10th percentile, the median and the largest (nearest rank).

    A forecast that blew up has an infinite error and is the worst.
    """
    order = np.argsort(errors, kind="stable")
    return order[[round(rank * (len(errors) - 1)) for rank in (0.1, 0.5, 1.0)]]


def save_examples(
    path: Path,
    forecasts: Mapping[str, Float[Tensor, "member batch time field cell"]],
    test: Trajectory,
    index: Int[np.ndarray, "example"],
    protocol: Protocol = PDEBENCH,
    num_spectra: int = 4,
) -> None:
    """Write `examples.npz`: forecasts of a few trajectories, and spectra over the whole test set.

    `forecasts` are those of all test trajectories under the protocol, by stepper; `index` names the examples
    (`choose`). The keys, with T scored frames, K wavenumbers and S = `num_spectra` times spread over them:

    - `x` [cell]: centres of the cells; `time` [T]: physical time; `labels` [3]: "good", "median", "worst";
      `index` [3]: the trajectories' places in the test split.
    - `truth` and `forecast/<stepper>` [3, T, field, cell]: physical units; of an ensemble its mean, as it is scored.
    - `wavenumber` [K]: cycles per domain; `spectrum_time` [S]: physical time.
    - `spectrum/truth` and `spectrum/<stepper>` [S, field, K]: mean over all test trajectories of the energy in
      each wavenumber (`power_spectrum`); of an ensemble, the mean of its members' spectra. Trajectories that
      are not finite at that time are left out; NaN if none is left.
    """
    fields, num_cells = test.fields, test.values.shape[-1]
    truth = test.values[:, protocol.num_context :]
    time = (np.arange(truth.shape[1]) + protocol.num_context) * fields.dt
    frames = np.linspace(0, len(time) - 1, num_spectra).round().astype(int)
    spectra = {"truth": truth[None], **forecasts}
    arrays: dict[str, Any] = {
        "x": fields.origin[0] + (np.arange(num_cells) + 0.5) * fields.extent[0] / num_cells,
        "time": time,
        "labels": np.array(LABELS),
        "index": index,
        "truth": truth[index].cpu().numpy(),
        "wavenumber": np.arange(num_cells // 2 + 1),
        "spectrum_time": time[frames],
        **{f"forecast/{name}": values[:, index].mean(0).cpu().numpy() for name, values in forecasts.items()},
        **{f"spectrum/{name}": _mean_spectrum(values[:, :, frames]) for name, values in spectra.items()},
    }
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _mean_spectrum(
    values: Float[Tensor, "member batch time field cell"],
) -> Float[np.ndarray, "time field wavenumber"]:
    spectrum = torch.stack([power_spectrum(member) for member in values])
    finite = spectrum.isfinite().all(-1, keepdim=True).all(0, keepdim=True)
    spectrum = spectrum.masked_fill(~finite, float("nan"))
    return spectrum.flatten(0, 1).nanmean(0).cpu().numpy()
