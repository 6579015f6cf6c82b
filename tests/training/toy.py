"""A stepper with 5 weights that learns to shift waves; small enough to train in a blink."""

import dataclasses
import json
import math
import multiprocessing
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from lines import on_line
from ups.data.windows import draw_windows
from ups.streams import stream
from ups.training import distributed
from ups.training.fit import fit
from ups.training.settings import Fit
from ups.training.stages import Forecast
from ups.training.state import State
from ups.training.store import Store
from ups.training.update import Updater
from ups.types import Trajectory, line

FIELDS = on_line(("u",), ("1",), 1.0, 0.1, params=("speed",), cells=64)


def waves(num=64, frames=17, cells=32, shift=0.4, seed=0):
    """Exact solutions of advection: sums of 4 sines that move by `shift` cells a frame."""
    generator = stream(seed, "waves")
    modes = torch.arange(1, 5)
    amplitude = torch.randn(num, 4, generator=generator) / modes
    phase = 2 * math.pi * torch.rand(num, 4, generator=generator)
    cell = torch.arange(cells) - shift * torch.arange(frames)[:, None]
    angle = 2 * math.pi / cells * cell[..., None] * modes
    values = (amplitude[:, None, None] * torch.sin(angle + phase[:, None, None])).sum(-1)
    return Trajectory(
        values[:, :, None].contiguous(), torch.full((num, 1), shift), replace(FIELDS, grid=line(cells))
    )


def burn(seconds):
    """Work for so long, as an update does: waiting is not charged to a budget."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Shift(nn.Module):
    """u + conv(u), the kernel drawn at random; a bias makes two groups of parameters."""

    num_context = 1

    def __init__(self, seed=0, width=5):
        super().__init__()
        self.kernel = nn.Parameter(0.05 * torch.randn(1, 1, width, generator=stream(seed, "kernel")))
        self.bias = nn.Parameter(torch.zeros(1))

    def encode(self, context, params):
        return context[:, -1]

    def advance(self, state, generator=None):
        around = nn.functional.pad(state, (self.kernel.shape[-1] // 2,) * 2, mode="circular")
        return state + nn.functional.conv1d(around, self.kernel, self.bias)

    def decode(self, state):
        return state


SETTINGS = {
    "updates": 60,
    "batch_size": 8,
    "warmup": 5,
    "learning_rate": 0.02,
    "ema_decay": 0.9,
    "unroll": [[0.0, 1], [0.5, 2]],
    "num_validations": 4,
    "log_every": 5,
    "checkpoint_every_seconds": 1e6,
}


def settings(**changes):
    return Fit(**{**SETTINGS, **changes})


def train(folder, seed=0, model_seed=0, validated=True, watched=False, model=None, pause=0.0, **changes):
    """Train the toy in a folder; return the stepper and what was fitted. `pause` slows each update down."""
    torch.set_num_threads(1)
    data, held_out = waves(), waves(16, seed=1)
    stepper = model or Shift(model_seed)
    stage = Forecast("operator", stepper, settings(**changes).unroll)

    def score():
        state = stepper.encode(held_out.values[:, :1], held_out.params)
        for _ in range(4):
            state = stepper.advance(state)
        return (state - held_out.values[:, 4]).square().mean().item()

    def draw(*arguments):
        burn(pause)
        return draw_windows(*arguments)

    with Store(Path(folder)) as store:
        fitted = fit(
            stage,
            data,
            store,
            settings(**changes),
            seed,
            validate=score if validated else None,
            held_out=held_out if watched else None,
            draw=draw,
        )
    return stepper, fitted


def processes():
    """Processes that know torch already: they are forks of one that has imported this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["toy"])
    return context


def train_rank(rank, world_size, port, folder, changes):
    """One of several processes, as torchrun would start it."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    stepper, fitted = train(folder, **changes)
    weights = {name: p.tolist() for name, p in stepper.named_parameters()}
    Path(folder, f"rank{rank}.json").write_text(
        json.dumps({"weights": weights, **dataclasses.asdict(fitted)})
    )
    distributed.stop()


def first_losses(compiled):
    """The losses of two updates, the second with a longer unroll, with and without the compiler."""
    torch.set_num_threads(1)
    plain = torch.compile  # tracing is what can go wrong here; code generation takes half a minute
    torch.compile = lambda module: plain(module, backend="aot_eager")
    stage = Forecast("operator", Shift(), settings().unroll)
    update = Updater(stage, waves(), settings(compile=compiled), 0, draw_windows)
    state = State.start(stage.model, update.settings)
    return [update(state, progress)["loss"] for progress in (0.0, 0.5)]


if __name__ == "__main__":  # torchrun and the signal tests start it as a command
    from ups.training.fit import Interrupted

    try:
        train(sys.argv[1], **json.loads(sys.argv[2]))
    except Interrupted as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(128 + error.signum)
