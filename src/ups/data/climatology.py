"""The climatological ensemble: what the training data end in, whatever a problem starts from."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest

State = tuple[Float[Tensor, "batch field *space"], Float[Tensor, "batch param"]]
"""A frame, and the parameters in physical units."""


class ClimatologyManifest(Manifest):
    """The shape of the pool that a climatology draws from."""

    kind: Literal["climatology"] = "climatology"
    frames: tuple[int, ...]
    """Trajectories, fields and cells."""
    num_params: int
    """Parameters of a trajectory."""

    def build(self) -> Climatology:
        """Return the stepper, its pool still to be restored."""
        return Climatology(torch.zeros(self.frames), torch.zeros(self.frames[0], self.num_params))


class Climatology(nn.Module):
    """A Stepper that draws the last frame of a random training trajectory among those of the nearest parameters.

    If parameters are few values, these are draws from the very law of the last frame given the parameters, as far as
    the training data hold it: what a model that knows nothing else can match and not beat. The distance between
    parameters is the sum of their differences, in physical units.
    """

    num_context = 1

    frames: Tensor
    params: Tensor

    def __init__(
        self, frames: Float[Tensor, "batch field *grid"], params: Float[Tensor, "batch param"]
    ) -> None:
        super().__init__()
        self.register_buffer("frames", frames)
        self.register_buffer("params", params)

    def manifest(self) -> ClimatologyManifest:
        """Return all but the pool itself."""
        return ClimatologyManifest(frames=tuple(self.frames.shape), num_params=self.params.shape[1])

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
        index = torch.multinomial(nearest.double(), 1, generator=generator)[:, 0]
        return self.frames[index.to(self.frames.device)].to(frame), params

    def decode(self, state: State) -> Float[Tensor, "batch field *space"]:
        """Return the frame."""
        return state[0]
