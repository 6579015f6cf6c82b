"""The climatological ensemble: what the training data end in, whatever a problem starts from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.types import Trajectory

State = tuple[Float[Tensor, "batch field *space"], Float[Tensor, "batch param"]]
"""A frame, and the parameters in physical units."""


class Climatology:
    """A Stepper that draws the last frame of a random training trajectory among those of the nearest parameters.

    If parameters are few values, these are draws from the very law of the last frame given the parameters, as far as
    the training data hold it: what a model that knows nothing else can match and not beat. The distance between
    parameters is the sum of their differences, in physical units.
    """

    num_context = 1

    def __init__(self, train: Trajectory) -> None:
        self.frames, self.params = train.values[:, -1], train.params

    def encode(
        self, context: Float[Tensor, "batch time field *space"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the last frame and the parameters."""
        return context[:, -1], params

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return a random last frame of the training data.

        Raises:
            ValueError: there is no generator to draw from.
        """
        if generator is None:
            raise ValueError("a climatology draws its frames: give a generator")
        frame, params = state
        distance = (params[:, None] - self.params.to(params)).abs().sum(-1)
        nearest = distance == distance.amin(1, keepdim=True)
        index = torch.multinomial(nearest.double(), 1, generator=generator)[:, 0].cpu()
        return self.frames[index].to(frame), params

    def decode(self, state: State) -> Float[Tensor, "batch field *space"]:
        """Return the frame."""
        return state[0]
