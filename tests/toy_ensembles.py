"""A run folder with ensembles: waves that drift and decay under random pushes, and steppers that know the law."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lines import on_line
from records import data, physics
from ups import record
from ups.evaluation.ladder import Rung, measure
from ups.evaluation.rows import RowStore
from ups.models.baselines import Persistence
from ups.streams import stream
from ups.types import Trajectory

FIELDS = on_line(names=("u",), units=("m/s",), extent=2.0, dt=0.5, params=("nu",), cells=16)
NUM_MEMBERS = 6


@dataclass(frozen=True)
class Pushed:
    """u(x, t + dt) = 0.9 u(x - dx, t) + push * noise, from a bias; the data have push 0.4 and no bias."""

    push: float = 0.4
    bias: float = 0.0
    blows_up: bool = False
    num_context: int = 1

    def encode(self, context, params):
        return context[:, -1]

    def advance(self, state, generator=None):
        state = 0.9 * state.roll(1, -1) + self.bias
        if self.blows_up:  # where the truth is low at its edge, never elsewhere
            state = torch.where(state[:, :, :1] < -1.2, torch.inf, state)
        if not self.push:
            return state
        return state + self.push * torch.randn(state.shape, generator=generator)

    def decode(self, state):
        return state


def pushed(num=40, num_frames=22, num_cells=16, seed=0):
    generator = stream(seed, "pushed")
    stepper = Pushed()
    frames = [0.9 * torch.randn(num, 1, num_cells, generator=generator)]
    for _ in range(num_frames - 1):
        frames.append(stepper.advance(frames[-1], generator))
    return Trajectory(torch.stack(frames, dim=1), torch.ones(num, 1), FIELDS)


RUNGS = (
    Rung("persistence", "trivial", Persistence()),
    Rung("wide noise", "baseline", Pushed(push=0.8), num_members=NUM_MEMBERS),
    Rung("point baseline", "baseline", Pushed(push=0.0, bias=0.2)),
    Rung("operator", "ours", Pushed(push=0.0)),
    Rung("corrector", "ours", Pushed(push=0.2), num_members=NUM_MEMBERS),
    Rung("student", "ours", Pushed(), num_members=NUM_MEMBERS),
    Rung("perfect ensemble", "reference", Pushed(), num_members=NUM_MEMBERS),
)


def write_ensemble_run(folder: Path, rungs=RUNGS) -> Path:
    """Measure the rungs and leave rows, arrays and a record, as a finished run does."""
    store = RowStore(folder, run="pushed")
    found = measure(rungs, lambda truth: truth, pushed(), store, lambda fraction, text: None)
    record.write(folder, physics(**found, data=data()))
    return folder
