"""Exact and deliberately wrong steppers, and data that they know."""

from dataclasses import dataclass

import torch

from lines import on_its_grid, on_line
from ups.streams import stream

FIELDS = on_line(
    names=("u",), units=("m/s",), extent=2.0, dt=0.5, params=("speed",), conserved=("u",), cells=16
)


@dataclass(frozen=True)
class Roll:
    """Advection by one cell a frame: exact, bit for bit. `bias` is added to every step."""

    bias: float = 0.0
    num_context: int = 1

    def encode(self, context, params):
        return context[:, -1]

    def advance(self, state, generator=None):
        return state.roll(1, -1) + self.bias

    def decode(self, state):
        return state


@dataclass(frozen=True)
class Noisy(Roll):
    """Advection plus noise, a stochastic stepper."""

    def advance(self, state, generator=None):
        return state.roll(1, -1) + 0.1 * torch.randn(state.shape, generator=generator)


@dataclass(frozen=True)
class Exploding(Roll):
    """Turns the trajectories whose mean is positive into NaN after `steps` steps; the state carries the count."""

    steps: int = 3

    def encode(self, context, params):
        return context[:, -1], torch.zeros(len(context))

    def advance(self, state, generator=None):
        values, count = state
        count = count + 1
        bad = (values.mean((1, 2)) > 0) & (count > self.steps)
        return torch.where(bad[:, None, None], torch.nan, values.roll(1, -1)), count

    def decode(self, state):
        return state[0]


def advected(num=6, num_frames=14, num_cells=16, seed=0):
    initial = torch.randn(num, 1, num_cells, generator=stream(seed, "initial"))
    values = torch.stack([initial.roll(frame, -1) for frame in range(num_frames)], dim=1)
    return on_its_grid(values, torch.ones(num, 1), FIELDS)
