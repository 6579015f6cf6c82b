"""Ensembles: what the report needs to know of an ensemble beyond its rows, saved so that it can judge and draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.evaluation.examples import centres, save_arrays, scored_time
from ups.evaluation.protocols import Protocol
from ups.evaluation.spectra import power_spectrum
from ups.evaluation.uncertainty import coverage, rank_histogram, ranks, spectral_spread_skill
from ups.types import Trajectory

HORIZONS = (1, 2, 5, 10)
"""Frames after the context at which ensembles are judged, as far as the data go."""

LEVELS = (0.5, 0.9)
"""Levels of the central intervals whose coverage is counted."""

BATCH_SIZE = 64

Summary = dict[str, np.ndarray]
"""Arrays of one ensemble by the names of `save_ensembles`."""


def horizons(num_frames: int) -> list[int]:
    """Return those of `HORIZONS` that a forecast of `num_frames` frames reaches."""
    return [horizon for horizon in HORIZONS if horizon <= num_frames]


def summarize(
    prediction: Float[Tensor, "member batch time field *grid"],
    truth: Float[Tensor, "batch time field *grid"],
    trajectory: int,
    generator: Generator,
    walls: Sequence[bool] = (),
) -> Summary:
    """Return the numbers that `save_ensembles` writes for one ensemble; `trajectory` is the one shown.

    At most 64 trajectories times members are worked on at once. The generator breaks ties of ranks; axes that end, as
    `walls` says, are mirrored for spectra.
    """
    size = max(1, BATCH_SIZE // len(prediction))
    parts = [
        _summarize(some, target, generator, walls)
        for some, target in zip(prediction.split(size, dim=1), truth.split(size), strict=True)
    ]
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    found |= {name: found[name].nanmean(0) for name in ("spread", "squared_error")}
    return {name: value.float().cpu().numpy() for name, value in found.items()} | {
        "members": prediction[:, trajectory].cpu().numpy()
    }


def save_ensembles(
    path: Path, ensembles: Mapping[str, Summary], test: Trajectory, trajectory: int, protocol: Protocol
) -> None:
    """Write `ensembles.npz`: calibration of every ensemble under one protocol, and the members of one trajectory.

    `ensembles` are by stepper (`summarize`). The keys, with N test trajectories, T scored frames, M members, K
    wavenumbers and H = `horizons(T)`:

    - `x` [cell], on planes `y` too, `time` [T]: as in `examples.npz`; `trajectory`: the place of the one shown in the
      test split; `horizon` [H]: frames after the context; `level` [2]: levels of central intervals.
    - `ranks/<stepper>` [N, M + 1]: the rank histogram of each trajectory, over its frames, fields and cells.
    - `coverage/<stepper>` [N, 2]: share of truths inside the central interval of each level.
    - `energy/truth` and `energy/<stepper>` [N, H + 1, field, K]: energy in each wavenumber (`power_spectrum`) of each
      trajectory at the horizons and, last, the mean over all frames; of an ensemble, the mean over its members.
    - `spread/<stepper>` and `squared_error/<stepper>` [H, field, K]: `spectral_spread_skill`, the mean over
      trajectories.
    - `truth` [T, field, *grid] and `members/<stepper>` [M, T, field, *grid]: the trajectory shown.

    A trajectory with a forecast that is not finite is NaN where N stands, and left out of means.
    """
    truth = test.values[:, protocol.num_context :]
    reached = horizons(truth.shape[1])
    arrays = {
        **centres(test),
        "time": scored_time(test, protocol),
        "trajectory": np.array(trajectory),
        "horizon": np.array(reached),
        "level": np.array(LEVELS),
        "truth": truth[trajectory].cpu().numpy(),
        "energy/truth": _energy(truth, test.fields.grid.walls).float().cpu().numpy(),
    }
    for stepper, summary in ensembles.items():
        arrays |= {f"{name}/{stepper}": value for name, value in summary.items()}
    save_arrays(path, arrays)


def _summarize(
    prediction: Float[Tensor, "member batch time field *grid"],
    truth: Float[Tensor, "batch time field *grid"],
    generator: Generator,
    walls: Sequence[bool],
) -> dict[str, Tensor]:
    histogram = rank_histogram(ranks(prediction, truth, generator), len(prediction))
    frames = [horizon - 1 for horizon in horizons(truth.shape[1])]
    spread, squared_error = spectral_spread_skill(prediction[:, :, frames], truth[:, frames], walls)
    found = {
        "ranks": histogram.mean((1, 2)),
        "coverage": coverage(prediction, truth, LEVELS).mean((2, 3)).T,
        "energy": torch.stack([_energy(member, walls) for member in prediction]).mean(0),
        "spread": spread,
        "squared_error": squared_error,
    }
    lost = ~prediction.isfinite().flatten(2).all(-1).all(0)
    for value in found.values():
        value[lost] = torch.nan
    return found


def _energy(
    values: Float[Tensor, "batch time field *grid"], walls: Sequence[bool]
) -> Float[Tensor, "batch instant field wavenumber"]:
    energy = power_spectrum(values, walls)
    at_horizons = energy[:, [horizon - 1 for horizon in horizons(values.shape[1])]]
    return torch.cat([at_horizons, energy.mean(1, keepdim=True)], dim=1)
