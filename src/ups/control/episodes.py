"""Episodes: a controller that plans in a model and acts in the real solver, scored by what truly happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.control.planner import Planner, improve
from ups.data.controlled import Controlled
from ups.progress import Progress
from ups.statistics.bootstrap import Interval, paired_bootstrap
from ups.types import Stepper


class Episodes(NamedTuple):
    """What a controller did, and what came of it."""

    costs: Float[Tensor, "episode time"]
    """Mean square distance from the target, in units of the field squared, after each action."""
    largest: Float[Tensor, " episode"]
    """Largest size of the field that was met."""
    actions: Float[Tensor, "episode time action"]
    frames: Float[Tensor, "episode time field *grid"]


@dataclass(frozen=True)
class Task:
    """Bring a field to a target and keep it there, never beyond a bound.

    `start` are frames on the solver's grid, `target` frames on that of the data.
    """

    source: Controlled
    start: Float[Tensor, "episode 1 *fine"]
    target: Float[Tensor, "episode 1 *grid"]
    bound: float
    num_frames: int = 40


class Simulator(nn.Module):
    """The solver as a model to plan in: what no model can do better than."""

    takes_actions, num_context, frames_read = True, 1, 1

    def __init__(self, source: Controlled) -> None:
        super().__init__()
        self.source, self.solver = source, source.solver()

    def encode(
        self,
        context: Float[Tensor, "batch time 1 *grid"],
        params: Float[Tensor, "batch param"],
        actions: Float[Tensor, "batch later action"],
    ) -> tuple[Tensor, Tensor]:
        """Return the frame on the solver's grid, and the actions to come."""
        return self.source.refined(context[:, -1])[:, 0], actions[:, context.shape[1] - 1 :]

    def advance(
        self, state: tuple[Tensor, Tensor], generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the state one frame later."""
        return self.solver(state[0], state[1][:, 0]), state[1][:, 1:]

    def decode(self, state: tuple[Tensor, Tensor]) -> Float[Tensor, "batch 1 *grid"]:
        """Return the frame on the grid of the data."""
        return self.source.kept(state[0])[:, None].float()


@torch.no_grad()
def play(
    task: Task,
    model: Any | None,
    planner: Planner,
    generator: Generator,
    progress: Progress = lambda fraction, text: None,
) -> Episodes:
    """Play all episodes at once; with no model nothing is done.

    The controller sees what was measured so far, on the grid of the data, and no more than the model reads.
    """
    solver, source = task.source.solver(), task.source
    state = task.start[:, 0].double()
    history = source.kept(state)[:, None, None].float()
    params = history.new_zeros(len(history), 0)
    width = source.actuators.number
    guess = history.new_zeros(len(history), planner.horizon, width)
    done = history.new_zeros(len(history), 0, width)

    def cost(frames: Tensor) -> Tensor:
        target = task.target.repeat(len(frames) // len(task.target), *[1] * (task.target.ndim - 1))
        return (frames - target[:, None]).square().flatten(2).mean(2)

    for step in range(task.num_frames):
        progress(step / task.num_frames, "acting")
        if model is None:
            action = torch.zeros_like(guess[:, 0])
        else:
            seen = min(history.shape[1], planner.context, max(1, getattr(model, "frames_read", 1)))
            before = done[:, done.shape[1] - seen + 1 :]
            guess = improve(
                planner, model, history[:, -seen:], params, before, guess, cost, task.bound, generator
            )
            action = guess[:, 0]
            guess = torch.cat([guess[:, 1:], guess[:, -1:]], 1)
        state = solver(state, action)
        history = torch.cat([history, source.kept(state)[:, None, None].float()], 1)
        done = torch.cat([done, action[:, None]], 1)
    after = history[:, 1:]
    return Episodes(cost(after), after.flatten(1).abs().amax(1), done, after)


class Outcome(NamedTuple):
    """What a controller is worth: the share of the cost that it takes off, against none; how often it was unsafe."""

    cost: float
    taken_off: Interval
    num_unsafe: int


def outcomes(played: Mapping[str, Episodes], bound: float, none: str = "no control") -> dict[str, Outcome]:
    """Return the outcome of every controller, paired over episodes with doing nothing."""
    means = {name: episodes.costs.mean(1).cpu().numpy() for name, episodes in played.items()}
    return {
        name: Outcome(
            float(np.mean(values)),
            paired_bootstrap(values, means[none]),
            int((played[name].largest > bound).sum()),
        )
        for name, values in means.items()
    }


def models(world: Stepper, source: Controlled) -> dict[str, Any]:
    """Return the models to plan in, by the name of their controller; nothing is None."""
    return {"no control": None, "world model": world, "solver": Simulator(source)}
