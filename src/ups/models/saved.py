"""Any trained stepper, as it was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ups.models.checkpoint import MANIFEST, Described, read
from ups.models.corrector import Corrected, load_corrected
from ups.models.emulator import Emulator, load
from ups.models.peers import ChangePeer, StatePeer, load_stepper
from ups.models.stochastic import StochasticPeer, load_stochastic
from ups.models.student import load_student
from ups.types import UserError

Trained = Emulator | StatePeer | ChangePeer | StochasticPeer | Corrected

LOADERS: dict[str, Callable[[Path], Trained]] = {
    "emulator": load,
    "peer": load_stepper,
    "stochastic": load_stochastic,
    "corrected": load_corrected,
    "student": load_student,
}
"""By the kind that the manifest states."""


def load_saved(folder: Path) -> Trained:
    """Return the stepper that was saved in a folder.

    Raises:
        UserError: there is none, or its files are damaged.
    """
    kind = read(folder, Described)[0].kind
    if kind not in LOADERS:
        raise UserError(f"{folder / MANIFEST}: a model of kind '{kind}' is no stepper")
    return LOADERS[kind](folder)
