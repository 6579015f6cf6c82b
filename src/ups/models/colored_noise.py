"""The ensemble to beat: an operator's forecast plus Gaussian noise with the residual's own deviation and spectrum."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.models.emulator import Emulator, State
from ups.models.residual import ResidualSpectrum, mode_powers
from ups.types import Trajectory, UserError


class ColoredNoise(nn.Module):
    """A Stepper that adds fresh noise after every step: z' = operator(z) + noise of the residual's spectrum.

    It knows how large the operator's errors are and on which scales, and nothing of when and where they happen. A
    generative model of the residual that is no better has learned nothing but the spectrum.
    """

    def __init__(self, emulator: Emulator, spectrum: ResidualSpectrum) -> None:
        super().__init__()
        self.emulator, self.spectrum = emulator, spectrum
        self.num_context = emulator.num_context

    def encode(
        self, context: Float[Tensor, "batch time field cell"], params: Float[Tensor, "batch param"]
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

    def decode(self, state: State) -> Float[Tensor, "batch field cell"]:
        """Return the state's frame in physical units."""
        return self.emulator.decode(state)


@torch.no_grad()
def fit_residual_spectrum(emulator: Emulator, held_out: Trajectory) -> ResidualSpectrum:
    """Return the spectrum of the one-step residuals encode(next) - operator(encode(now)), over all frames.

    Give trajectories that the emulator was not trained on: its residuals on those that it was are too small. A
    codec that spins up reads as many frames before each `now` as it asks for.

    Raises:
        UserError: the trajectories are too short for one residual.
    """
    past, num_frames = emulator.codec.spin_up, held_out.values.shape[1]
    if num_frames <= past:
        raise UserError(
            f"trajectories of {num_frames} frames have no residual; the emulator needs {past + 1} or more"
        )
    powers = []
    for start in range(num_frames - past):
        window = held_out.window(start, past + 1)
        forecast, _ = emulator.advance(emulator.encode(window.values[:, :-1], window.params))
        truth, _ = emulator.encode(window.values[:, 1:], window.params)
        powers.append(mode_powers(truth - forecast))
    return ResidualSpectrum(torch.stack(powers).mean(0), emulator.codec.num_tokens)
