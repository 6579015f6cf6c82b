"""What follows the training of a correction: its draws are given the power that the residuals have."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Generator

from ups.models.corrector import Corrected
from ups.models.token_waves import mode_powers
from ups.progress import bar
from ups.record import Fitted
from ups.training.residuals import spread_residuals
from ups.types import Trajectory

NUM_WINDOWS = 16_384
"""Windows to compare, at most: sharp fronts are rare, and make the power of short waves a mean of few large numbers."""

NUM_TOKENS = 2**21
"""Their tokens, at most, together: a large frame has each wave in many places."""


@torch.no_grad()
def match_power(
    name: str, corrected: Corrected, train: Trajectory, fitted: Fitted, generator: Generator
) -> Fitted:
    """Scale every mode of a trained correction's draws to the power of the residuals; the time counts as training.

    A denoiser that is not perfect shrinks what it is not sure of, hop by hop, and short waves most; a student that
    was trained by squared errors leaves noise in them. Neither moves the squared error by which they were trained.
    One draw for each window of the training split tells.
    """
    begun = time.monotonic()
    drawn, wanted = [], []
    with bar(f"matching power of {name}") as progress:
        num_windows = min(NUM_WINDOWS, NUM_TOKENS // corrected.emulator.codec.num_tokens)
        parts = list(spread_residuals(corrected.emulator, train, num_windows))
        for number, (given, residual) in enumerate(parts):
            progress(number / len(parts), "")
            drawn.append(mode_powers(corrected.correction.draw(given, generator), corrected.gain.waves))
            wanted.append(mode_powers(residual, corrected.gain.waves))
    corrected.gain.match(torch.cat(drawn), torch.cat(wanted))
    return replace(fitted, seconds=fitted.seconds + time.monotonic() - begun)
