"""The mean of an ensemble as one forecast: what a search has to beat at equal calls."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.search.calls import network_calls
from ups.search.known import built, stated
from ups.search.rewards import Frames, Params
from ups.search.states import each
from ups.types import Stepper


class MeanOfManifest(Manifest):
    """From what a mean of members was built."""

    kind: Literal["mean_of"] = "mean_of"
    stepper: dict[str, Any]
    """Whose members."""
    count: int
    """How many."""

    def build(self) -> MeanOf:
        """Return it, its numbers still to be restored."""
        return MeanOf(built(self.stepper), self.count)


class MeanOf(nn.Module):
    """A Stepper: the mean of `count` members of another, each followed on its own. The control at equal calls."""

    def __init__(self, stepper: Stepper, count: int) -> None:
        super().__init__()
        self.stepper, self.count = stepper, count
        self.num_context = stepper.num_context
        self.frames_read = getattr(stepper, "frames_read", stepper.num_context)

    @property
    def calls_per_frame(self) -> int:
        """Calls of networks a frame."""
        return self.count * network_calls(self.stepper)

    def manifest(self) -> MeanOfManifest:
        """Return everything but the numbers that is needed to build it again."""
        return MeanOfManifest(stepper=stated(self.stepper), count=self.count)

    def encode(self, context: Float[Tensor, "batch time field *grid"], params: Params) -> Any:
        """Return the states of all members, those of one trajectory side by side."""
        state = self.stepper.encode(context, params)
        return each(lambda part: part.repeat_interleave(self.count, 0), state)

    def advance(self, state: Any, generator: Generator | None = None) -> Any:
        """Return all members one frame later."""
        return self.stepper.advance(state, generator)

    def decode(self, state: Any) -> Frames:
        """Return the mean of the members' frames."""
        return self.stepper.decode(state).unflatten(0, (-1, self.count)).mean(1)
