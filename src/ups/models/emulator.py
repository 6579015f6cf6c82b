"""The trained emulator: normalizer, codec and operator as one Stepper that rolls out in tokens."""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.models.autoencoder import AutoencoderSettings, Codec
from ups.models.normalizer import Normalizer
from ups.models.operator import Operator, OperatorSettings
from ups.models.refined import RefinedCodec
from ups.types import Fields

State = tuple[Float[Tensor, "batch token dim"], Float[Tensor, "batch param"]]
"""Tokens and normalized parameters."""


class EmulatorManifest(Manifest):
    """From what an emulator was built."""

    kind: Literal["emulator"] = "emulator"
    fields: Fields
    """The data it was trained on."""
    param_ranges: tuple[tuple[float, float], ...]
    """Lowest and highest value of each parameter in training."""
    codec: AutoencoderSettings
    """The autoencoder."""
    operator: OperatorSettings
    """The operator."""

    def build(self) -> Emulator:
        """Return the emulator, its numbers still to be restored."""
        fields = self.fields
        generator = torch.Generator()  # its numbers are replaced by the saved ones
        codec = self.codec.build(fields, generator)
        operator = self.operator.build(codec, fields, generator)
        normalizer = Normalizer(len(fields.names), len(fields.params))
        return Emulator(normalizer, codec, operator, fields)


class Emulator(nn.Module):
    """A Stepper whose state is the tokens of one frame; it decodes only what is asked for."""

    num_context = 1

    def __init__(self, normalizer: Normalizer, codec: Codec, operator: Operator, fields: Fields) -> None:
        super().__init__()
        self.normalizer, self.codec, self.operator = normalizer, codec, operator
        self.fields = fields

    @property
    def frames_read(self) -> int:
        """Frames of a context, at most, that make its state."""
        return self.codec.spin_up

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the tokens at the last frame, and the normalized parameters.

        They are encoded from the last frame; or, if the codec asks for a spin-up, from an earlier one, advanced, and
        pulled towards each frame on the way (`RefinedCodec.pulled`). So the state knows what a frame alone does not
        show, and forgets what was wrong with the first.
        """
        first, *later = map(self.normalizer.normalize, context[:, -self.codec.spin_up :].unbind(1))
        state = self.codec.encode(first), self.normalizer.normalize_params(params)
        for frame in later:  # of a codec with a spin-up alone
            tokens, params = self.advance(state)
            state = cast(RefinedCodec, self.codec).pulled(tokens, frame), params
        return state

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return the state one training step later."""
        tokens, params = state
        return self.operator(tokens, torch.ones_like(tokens[:, 0, 0]), params), params

    def decode(self, state: State) -> Float[Tensor, "batch field *grid"]:
        """Return the state's frame in physical units."""
        return self.normalizer.denormalize(self.codec.decode(state[0]))

    def decode_at(
        self, state: State, points: Float[Tensor, "batch point"]
    ) -> Float[Tensor, "batch field point"]:
        """Return the state's fields in physical units at points in the coordinate of the domain."""
        return self.normalizer.denormalize(self.codec.decode_at(state[0], points))

    def reconstruct(
        self, values: Float[Tensor, "batch time field *grid"]
    ) -> Float[Tensor, "batch time field *grid"]:
        """Return every frame encoded and decoded: the best that any operator on this codec can do."""
        frames = self.codec.decode(self.codec.encode(self.normalizer.normalize(values.flatten(0, 1))))
        return self.normalizer.denormalize(frames).unflatten(0, values.shape[:2])

    def manifest(self) -> EmulatorManifest:
        """Return everything but the numbers that is needed to build this emulator again."""
        return EmulatorManifest(
            fields=self.fields,
            param_ranges=tuple(self.normalizer.param_ranges()),
            codec=self.codec.settings,
            operator=self.operator.settings,
        )
