"""The ensemble to beat: an operator's forecast plus Gaussian noise with the residual's own deviation and spectrum."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.models.emulator import Emulator, EmulatorManifest, State
from ups.models.residual import ResidualSpectrum


class NoiseManifest(Manifest):
    """From what colored noise was built."""

    kind: Literal["colored_noise"] = "colored_noise"
    emulator: EmulatorManifest
    """The emulator underneath."""

    def build(self) -> ColoredNoise:
        """Return the stepper, its numbers still to be restored."""
        emulator = self.emulator.build()
        return ColoredNoise(emulator, ResidualSpectrum.white(emulator.codec))


class ColoredNoise(nn.Module):
    """A Stepper that adds fresh noise after every step: z' = operator(z) + noise of the residual's spectrum.

    It knows how large the operator's errors are and on which scales, and nothing of when and where they happen. A
    generative model of the residual that is no better has learned nothing but the spectrum.
    """

    def __init__(self, emulator: Emulator, spectrum: ResidualSpectrum) -> None:
        super().__init__()
        self.emulator, self.spectrum = emulator, spectrum
        self.num_context, self.frames_read = emulator.num_context, emulator.frames_read

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the emulator's state at the last frame, without noise."""
        return self.emulator.encode(context, params)

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return the state one training step later.

        Raises:
            ValueError: there is no generator to draw the noise from.
        """
        if generator is None:
            raise ValueError("colored noise is drawn: give a generator")
        tokens, params = self.emulator.advance(state)
        return tokens + self.spectrum.sample(len(tokens), generator), params

    def decode(self, state: State) -> Float[Tensor, "batch field *grid"]:
        """Return the state's frame in physical units."""
        return self.emulator.decode(state)

    def manifest(self) -> NoiseManifest:
        """Return everything but the numbers that is needed to build this stepper again."""
        return NoiseManifest(emulator=self.emulator.manifest())
