"""Examples: a good, the median and the worst test trajectory, and mean spectra, saved for the report to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class Excerpt(NamedTuple):
    """What the report draws of one forecast: a few trajectories, and spectra over the whole test set."""

    forecast: Float[np.ndarray, "example time field *grid"]
    spectrum: Float[np.ndarray, "instant field wavenumber"]


def excerpt(
    prediction: Float[Tensor, "member batch time field *grid"],
    index: Int[np.ndarray, "example"],
    walls: Sequence[bool],
) -> Excerpt:
    """Return the mean of the members on the trajectories `index`, and the mean spectrum at a few times.

    Spectra are means over members and trajectories; axes that end, as `walls` says, are mirrored. Trajectories that
    are not finite at a time are left out; NaN if none is left.
    """
    frames = _instants(prediction.shape[2])
    return Excerpt(
        prediction[:, index].mean(0).cpu().numpy(), _mean_spectrum(prediction[:, :, frames], walls)
    )


def save_examples(
    path: Path,
    excerpts: Mapping[str, Excerpt],
    test: Trajectory,
    index: Int[np.ndarray, "example"],
    protocol: Protocol = PDEBENCH,
) -> None:
    """Write `examples.npz`: forecasts of a few trajectories, and spectra over the whole test set.

    `excerpts` are those of the forecasts under the protocol, by stepper, of the trajectories `index` (`choose`).
    The keys, with T scored frames, K wavenumbers and S = 4 times spread over them:

    - `x` [cell], and `y` and `z` where there are: centres of the cells along each axis; `time` [T]: physical time;
      `labels` [3]: "good", "median", "worst"; `index` [3]: the trajectories' places in the test split.
    - `truth` and `forecast/<stepper>` [3, T, field, *grid]: physical units; of an ensemble its mean.
    - `wavenumber` [K]: cycles per domain; `spectrum_time` [S]: physical time.
    - `spectrum/truth` and `spectrum/<stepper>` [S, field, K]: mean over all test trajectories of the energy in
      each wavenumber (`power_spectrum`); of an ensemble, the mean of its members' spectra.
    """
    truth = test.values[:, protocol.num_context :]
    time = scored_time(test, protocol)
    shown = excerpt(truth[None], index, test.fields.grid.walls)
    arrays: dict[str, Any] = {
        **centres(test),
        "time": time,
        "labels": np.array(LABELS),
        "index": index,
        "truth": shown.forecast,
        "wavenumber": np.arange(shown.spectrum.shape[-1]),
        "spectrum_time": time[_instants(len(time))],
        **{f"forecast/{name}": found.forecast for name, found in excerpts.items()},
        "spectrum/truth": shown.spectrum,
        **{f"spectrum/{name}": found.spectrum for name, found in excerpts.items()},
    }
    save_arrays(path, arrays)


def centres(test: Trajectory) -> dict[str, Float[np.ndarray, "cell"]]:
    """Return the places of the cells along each axis: `x`, `y`, `z` in their order, whatever the data call them."""
    return {key: axis.centres().numpy() for key, axis in zip("xyz", test.fields.grid.axes, strict=False)}


def scored_time(test: Trajectory, protocol: Protocol) -> Float[np.ndarray, "time"]:
    """Return the physical times of the frames that a protocol scores."""
    return np.arange(protocol.num_context, test.values.shape[1]) * test.fields.dt


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name into one compressed file, at once or not at all."""
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _instants(num_frames: int, num: int = 4) -> Int[np.ndarray, "instant"]:
    return np.linspace(0, num_frames - 1, num).round().astype(int)


def _mean_spectrum(
    values: Float[Tensor, "member batch time field *grid"], walls: Sequence[bool]
) -> Float[np.ndarray, "time field wavenumber"]:
    spectrum = torch.stack([power_spectrum(member, walls) for member in values])
    finite = spectrum.isfinite().all(-1, keepdim=True).all(0, keepdim=True)
    spectrum = spectrum.masked_fill(~finite, float("nan"))
    return spectrum.flatten(0, 1).nanmean(0).cpu().numpy()
