"""What needs no search: frames put back onto what is known of them, after every step."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.models.step_residual import Frames, Params, Residual
from ups.search.calls import network_calls
from ups.search.known import Known, KnownManifest, built, stated
from ups.types import Fields, Stepper


class FrameState(NamedTuple):
    """A state, its frame and its parameters."""

    inner: Any
    frame: Frames
    params: Params


class LowerResidualManifest(Manifest):
    """From what a corrected stepper was built."""

    kind: Literal["lower_residual"] = "lower_residual"
    stepper: dict[str, Any]
    """What is corrected."""
    known: KnownManifest
    """By which equation."""
    num_steps: int
    """In how many steps."""

    def build(self) -> LowerResidual:
        """Return it, its numbers still to be restored."""
        return LowerResidual(built(self.stepper), self.known.build(), self.num_steps)


class LowerResidual(nn.Module):
    """A Stepper whose every frame is moved by `num_steps` Newton steps until it leaves less of the equation.

    The moved frame is encoded again: only for steppers whose state is what one frame shows.
    """

    num_context = 1

    def __init__(self, stepper: Stepper, known: Known, num_steps: int) -> None:
        super().__init__()
        self.stepper, self.known, self.num_steps = stepper, known, num_steps
        self.fields = known.fields

    @property
    def calls_per_frame(self) -> int:
        """Calls of networks a frame; the equation itself is not counted."""
        return network_calls(self.stepper)

    def encode(self, context: Float[Tensor, "batch time field *grid"], params: Params) -> FrameState:
        """Return the state at the last frame of the context."""
        return FrameState(self.stepper.encode(context, params), context[:, -1], params)

    def advance(self, state: FrameState, generator: Generator | None = None) -> FrameState:
        """Return the state one frame later."""
        made = self.stepper.decode(self.stepper.advance(state.inner, generator))
        frame = cast(Residual, self.known.residual).corrected(state.frame, made, state.params, self.num_steps)
        frame = torch.where(frame.isfinite(), frame, made)
        return FrameState(self.stepper.encode(frame[:, None], state.params), frame, state.params)

    def decode(self, state: FrameState) -> Frames:
        """Return the state's frame in physical units."""
        return state.frame

    def manifest(self) -> LowerResidualManifest:
        """Return everything but the numbers that is needed to build it again."""
        known = self.known.manifest()
        return LowerResidualManifest(stepper=stated(self.stepper), known=known, num_steps=self.num_steps)


class ProjectedManifest(Manifest):
    """From what a projected stepper was built."""

    kind: Literal["projected"] = "projected"
    stepper: dict[str, Any]
    """What is projected."""
    fields: Fields
    """What they declare."""

    def build(self) -> Projected:
        """Return it, its numbers still to be restored."""
        return Projected(built(self.stepper), self.fields)


class Projected(nn.Module):
    """A Stepper whose forecasts keep what the fields declare: integrals of the context, and positive values.

    A conserved field is shifted to the mean of the last true frame; a positive one is cut at 0 and, if conserved too,
    scaled back to its mean. The state is left as it is.
    """

    def __init__(self, stepper: Stepper, fields: Fields) -> None:
        super().__init__()
        self.stepper, self.fields = stepper, fields
        self.num_context = stepper.num_context
        self.frames_read = getattr(stepper, "frames_read", stepper.num_context)

    @property
    def calls_per_frame(self) -> int:
        """Calls of networks a frame."""
        return network_calls(self.stepper)

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Params
    ) -> tuple[Any, Float[Tensor, "batch field *one"]]:
        """Return the state, and the means that are kept."""
        means = context[:, -1].double().flatten(2).mean(2)[(..., *(None,) * (context.ndim - 3))]
        return self.stepper.encode(context, params), means

    def advance(self, state: tuple[Any, Tensor], generator: Generator | None = None) -> tuple[Any, Tensor]:
        """Return the state one frame later."""
        return self.stepper.advance(state[0], generator), state[1]

    def decode(self, state: tuple[Any, Tensor]) -> Frames:
        """Return the frame with what is known put right."""
        frame = self.stepper.decode(state[0]).double()
        around = tuple(range(2, frame.ndim))
        made = []
        for place, field in enumerate(self.fields.each):
            one, wanted = frame[:, place : place + 1], state[1][:, place : place + 1]
            if field.conserved:
                one = one + (wanted - one.mean(around, keepdim=True))
            if field.positive:
                one = one.clamp(min=0)
                if field.conserved:
                    one = one * wanted / one.mean(around, keepdim=True).clamp(min=torch.finfo(one.dtype).tiny)
            made.append(one)
        return torch.cat(made, 1).float()

    def manifest(self) -> ProjectedManifest:
        """Return everything but the numbers that is needed to build it again."""
        return ProjectedManifest(stepper=stated(self.stepper), fields=self.fields)
