"""Steppers that draw candidates, and data that they are drawn for."""

from dataclasses import dataclass

import torch
from torch import nn

from ups.streams import stream
from ups.types import Field, Fields, Trajectory, line

FIELDS = Fields((Field("u", conserved=True),), line(16, 2.0), dt=0.5, params=("speed",))


@dataclass(eq=False)
class Drawn(nn.Module):
    """Advection by one cell a frame plus noise; the state is (frame, params), of one row or many."""

    size: float = 0.1
    num_context: int = 1
    fields: Fields = FIELDS

    def __post_init__(self):
        super().__init__()
        self.calls = 0

    def __hash__(self):
        return id(self)

    def encode(self, context, params):
        return context[:, -1], params

    def advance(self, state, generator=None):
        frame, params = state
        self.calls += len(frame)
        noise = torch.randn(frame.shape, generator=generator) if self.size else torch.zeros(frame.shape)
        return frame.roll(1, -1) + self.size * noise, params

    def decode(self, state):
        return state[0]


def advected(num=6, num_frames=9, fields=FIELDS, seed=0):
    """Trajectories that move by one cell a frame."""
    initial = torch.randn(num, len(fields), *fields.grid.shape, generator=stream(seed, "advected"))
    values = torch.stack([initial.roll(frame, -1) for frame in range(num_frames)], 1)
    return Trajectory(values, torch.linspace(0, 1, num)[:, None], fields)


class Truth:
    """The perfect reward: minus the distance from where the frame before moves to."""

    calls = 0

    def __call__(self, before, after, params):
        return -(after - before.roll(1, -1)).square().flatten(1).mean(1).sqrt()


class Dice:
    """A reward that knows nothing."""

    calls = 0

    def __init__(self, seed=0):
        self.generator = stream(seed, "dice")

    def __call__(self, before, after, params):
        return torch.rand(len(after), generator=self.generator)
