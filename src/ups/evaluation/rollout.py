"""Rollout: advance a stepper from true context frames, all members of an ensemble in one batch."""

from __future__ import annotations

import torch
from einops import repeat
from jaxtyping import Float
from torch import Generator, Tensor

from ups.types import Stepper


@torch.no_grad()
def rollout(
    stepper: Stepper,
    context: Float[Tensor, "batch context field *space"],
    params: Float[Tensor, "batch param"],
    num_steps: int,
    num_members: int = 1,
    generator: Generator | None = None,
    actions: Float[Tensor, "batch later action"] | None = None,
) -> Float[Tensor, "member batch time field *space"]:
    """Return the `num_steps` frames that follow the context, in physical units, without gradients.

    The context is encoded once; the state is then advanced in the stepper's own space and every frame decoded.
    Members are copies of the batch that differ only by what the stepper draws from the generator; the members of
    a deterministic stepper are equal. A stepper that `takes_actions` is told those of the context and of the forecast,
    the first the one that follows the first frame of the context.
    """
    given = [context, params]
    if actions is not None and getattr(stepper, "takes_actions", False):
        given.append(actions)
    state = stepper.encode(
        *(repeat(part, "batch ... -> (member batch) ...", member=num_members) for part in given)
    )
    frames = []
    for _ in range(num_steps):
        state = stepper.advance(state, generator)
        frames.append(stepper.decode(state))
    return torch.stack(frames, dim=1).unflatten(0, (num_members, -1))
