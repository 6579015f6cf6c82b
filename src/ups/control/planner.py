"""Model-predictive control: plans of actions, tried in a model, the best kept and sampled around again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Generator, Tensor

from ups.config import Settings

Cost = Callable[[Float[Tensor, "plan time field *grid"]], Float[Tensor, "plan time"]]
"""What each frame of each plan costs; plans are rows (plan, episode)."""

UNSAFE = 1e6
"""What a plan costs for each unit beyond the bound: more than any plan that keeps within."""


class Planner(Settings):
    """The cross-entropy method; with one iteration, random shooting."""

    horizon: PositiveInt = 6
    """Frames that a plan looks ahead."""
    hold: PositiveInt = 2
    """Frames for which a planned action is held."""
    context: PositiveInt = 4
    """Frames of what was measured that the model reads, at most."""
    num_plans: Annotated[int, Field(ge=2, le=4096)] = 16
    """Plans in an iteration."""
    num_elites: PositiveInt = 4
    """The best of them, around which the next are drawn."""
    num_iterations: PositiveInt = 2
    """Iterations for each action that is carried out."""
    deviation: Annotated[float, Field(gt=0, le=2)] = 0.6
    """Of the first plans about the last one, in units of the largest action."""

    @model_validator(mode="after")
    def _fits(self) -> Planner:
        if self.num_elites >= self.num_plans:
            raise ValueError(f"num_elites={self.num_elites} are not fewer than num_plans={self.num_plans}")
        return self


@torch.no_grad()
def improve(
    planner: Planner,
    model: Any,
    history: Float[Tensor, "episode time field *grid"],
    params: Float[Tensor, "episode param"],
    done: Float[Tensor, "episode before action"],
    guess: Float[Tensor, "episode horizon action"],
    cost: Cost,
    bound: float,
    generator: Generator,
) -> Float[Tensor, "episode horizon action"]:
    """Return a better plan for each episode: the mean of the elites of the last iteration.

    `model` is a stepper that takes actions; `done` are the actions after each frame of the history but the last. A plan
    is worth the sum of what its frames cost in the model, and `UNSAFE` for each unit by which a field leaves
    [-bound, bound] there.
    """
    episodes, horizon, width = guess.shape
    mean, deviation = guess, torch.full_like(guess, planner.deviation)
    count = planner.num_plans
    context, given, past = (part.repeat(count, *[1] * (part.ndim - 1)) for part in (history, params, done))
    for _ in range(planner.num_iterations):
        blocks = -(-horizon // planner.hold)
        drawn = torch.randn((count, episodes, blocks, width), generator=generator, device=guess.device)
        drawn = drawn.repeat_interleave(planner.hold, 2)[:, :, :horizon]
        drawn[0] = 0  # the mean itself
        plans = (mean + deviation * drawn).clamp(-1, 1)
        told = torch.cat([past, plans.flatten(0, 1)], 1)
        state, total = model.encode(context, given, told), 0.0
        for _ in range(horizon):
            state = model.advance(state, generator)
            frame = model.decode(state)
            beyond = (frame.flatten(1).abs().amax(1) - bound).clamp(min=0)
            total = total + cost(frame[:, None])[:, 0] + UNSAFE * beyond
        scores = torch.as_tensor(total).nan_to_num(nan=float("inf")).unflatten(0, (count, episodes))
        best = scores.topk(planner.num_elites, 0, largest=False).indices
        elites = plans.gather(0, best[..., None, None].expand(-1, -1, horizon, width))
        mean, deviation = elites.mean(0), elites.std(0).clamp(min=0.05)
    return mean
