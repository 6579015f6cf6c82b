"""What a run's networks have seen: which of given trajectories start like it, openly or in disguise."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ups.data.likeness import find_alike, long_waves
from ups.data.splits import initial_hashes
from ups.record import KNOWN, SEEN, read_identities
from ups.types import Trajectory, UserError


def unseen(given: Trajectory, folder: Path, where: Path) -> tuple[Trajectory, list[str]]:
    """Return the trajectories of a file or a run, `where`, that may be scored, and what one has to know of the others.

    Left out is what starts like a trajectory of the training or validation, or with any frame of theirs that was
    moved, mirrored or disturbed a little.

    Raises:
        UserError: none is left, or what the run wrote down is damaged.
    """
    known = set(read_identities(folder, KNOWN))
    openly = torch.tensor([value in known for value in initial_hashes(given.values)])
    alike, said = disguised(given, folder)
    hidden = alike & ~openly
    notes = [
        f"{int(which.sum())} of {len(given)} trajectories {what}; left out"
        for which, what in (
            (openly, "start like one of the training"),
            (hidden, "start with a frame of the training, moved, mirrored or disturbed by less than 0.1 %"),
        )
        if which.any()
    ]
    left = ~(openly | hidden)
    if not left.any():
        raise UserError(
            f"every trajectory starts like one of the training; {len(given)} left out, none to evaluate"
        )
    return given.select(left.nonzero()[:, 0]), [*notes, *([said] if "factor" in said else [])]


def disguised(given: Trajectory, folder: Path) -> tuple[Bool[Tensor, "batch"], str]:
    """Return which trajectories start with a frame that the networks have seen in disguise, and words for it.

    Raises:
        UserError: what the run wrote down is damaged.
    """
    path = folder / SEEN
    if not path.exists():  # the run is older than this
        return torch.zeros(len(given), dtype=torch.bool), ""
    try:
        known = load_file(path)["waves"]
    except (SafetensorError, KeyError, OSError):
        raise UserError(f"{path}: damaged; copy the run again") from None
    mine = long_waves(given.values[:, 0])
    alike = find_alike(mine, known) >= 0
    if alike.any():
        return alike, (
            f"{int(alike.sum())} of {len(given)} test trajectories start with a frame of the training, moved, "
            "mirrored or disturbed by less than 0.1 %"
        )
    scaled = find_alike(mine, known, scaled=True) >= 0
    words = f"{int(scaled.sum())} of {len(given)} test trajectories start with a frame of the training times a factor"
    return alike, words if scaled.any() else ""
