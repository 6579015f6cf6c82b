"""What an operator gets wrong on data: the residuals that a corrector learns to draw, and their spectrum."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ups.models.corrector import Given, given_of
from ups.models.emulator import Emulator
from ups.models.residual import ResidualSpectrum
from ups.models.token_waves import TokenWaves, lattice, mode_powers
from ups.types import Trajectory, UserError

PART = 512
"""Windows that pass through the networks at a time, at most."""

PART_TOKENS = 2**18
"""Their tokens, at most, together."""


def part_of(num_tokens: int) -> int:
    """Return how many windows of so many tokens pass through the networks at a time."""
    return max(1, min(PART, PART_TOKENS // num_tokens))


@torch.no_grad()
def residuals(
    emulator: Emulator, batch: Trajectory, num_rolled: int
) -> tuple[Given, Float[Tensor, "batch token dim"]]:
    """Return what a corrector is given after `num_rolled` steps of the operator's rollout, and the residual there.

    residual = encode(truth) - operator(state), in units of the tokens. A codec that spins up does so before each of
    the two states.
    """
    past = emulator.codec.spin_up
    state = emulator.encode(batch.values[:, :past], batch.params)
    for _ in range(num_rolled):
        state = emulator.advance(state)
    forecast, _ = emulator.advance(state)
    truth, _ = emulator.encode(batch.values[:, num_rolled + 1 : num_rolled + 1 + past], batch.params)
    return given_of(state, forecast), truth - forecast


def residual_spectrum(emulator: Emulator, data: Trajectory, num_rolled: int) -> ResidualSpectrum:
    """Return the spectrum of the residuals after 0 to `num_rolled` steps of rollout, over all frames.

    Give trajectories that the emulator was not trained on: its residuals on those that it was are too small.

    Raises:
        UserError: the trajectories are too short.
    """
    past, num_frames = emulator.codec.spin_up, data.values.shape[1]
    if num_frames < past + num_rolled + 1:
        raise UserError(
            f"stage 'corrector': trajectories have {num_frames} frames, but a residual after {num_rolled} steps needs "
            f"{past + num_rolled + 1}; lower corrector.rolled_steps"
        )
    grid = lattice(emulator.codec)
    waves = TokenWaves(grid)
    powers = [
        mode_powers(residuals(emulator, data.window(start, past + rolled + 1), rolled)[1], waves).mean(0)
        for rolled in range(num_rolled + 1)
        for start in range(num_frames - past - rolled)
    ]
    return ResidualSpectrum(torch.stack(powers).mean(0), grid)


def spread_residuals(
    emulator: Emulator, data: Trajectory, num_windows: int
) -> Iterator[tuple[Given, Float[Tensor, "batch token dim"]]]:
    """Yield the one-step residuals of windows spread over trajectories and frames, and what they are given, in parts.

    All windows, if there are no more than `num_windows`.
    """
    length = emulator.codec.spin_up + 1
    starts = data.values.shape[1] - length + 1
    count = min(num_windows, len(data) * starts)
    places = torch.linspace(0, len(data) * starts - 1, count).long()
    for part in places.split(part_of(emulator.codec.num_tokens)):
        values = torch.stack([
            data.values[p // starts, p % starts : p % starts + length] for p in part.tolist()
        ])
        params = data.params[(part // starts).to(data.params.device)]
        yield residuals(emulator, Trajectory(values, params, data.fields), 0)
