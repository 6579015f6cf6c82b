"""The corrector: a generative model of what the operator gets wrong, as a Stepper whose members differ."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.config import Settings
from ups.diffusion.denoiser import Denoiser
from ups.diffusion.flow_maps import FlowMap, ancestral, ddim, dpmpp_2m, heun, sample
from ups.diffusion.process import NoiseProcess
from ups.models.emulator import Emulator, EmulatorManifest, State
from ups.models.initialization import initialize
from ups.models.noise import (
    LinearPath,
    OutputError,
    Predicts,
    ProcessSettings,
    StratifiedTimes,
    TimeSettings,
    WeightingSettings,
    build_parameterization,
)
from ups.models.normalizer import Normalizer
from ups.models.residual import ResidualSpectrum, SpectralGain
from ups.models.residual_nets import NetworkSettings, ResidualNet, SpectralLocal
from ups.models.token_waves import lattice

Tokens = Float[Tensor, "batch token dim"]
Given = tuple[Float[Tensor, "batch token channel"], Float[Tensor, "batch param"]]
"""State and forecast, channel after channel; normalized parameters."""


@runtime_checkable
class Correction(Protocol):
    """What draws residuals: a corrector, or its student."""

    @property
    def calls_per_frame(self) -> int:
        """How often a draw calls the network."""
        ...

    def draw(self, given: Given, generator: Generator) -> Tokens:
        """Return one residual for each row of what is given, in units of the tokens."""
        ...

    def manifest(self, emulator: EmulatorManifest) -> Manifest:
        """Return from what it and the emulator underneath were built."""
        ...


class Corrector(nn.Module):
    """p(z_next - operator(z) | z, operator(z), params) by diffusion, in units of the residual's own deviation.

    `spectrum` is that of residuals which the operator was not trained on. Its standard deviation scales the
    residuals to 1, channel by channel; the Gaussian law of that spectrum is the reference that the denoiser has to
    beat (`training/corrector_stages.py`).
    """

    def __init__(
        self,
        settings: CorrectorSettings,
        dim: int,
        num_params: int,
        spectrum: ResidualSpectrum,
    ) -> None:
        super().__init__()
        self.settings, self.spectrum = settings, spectrum
        self.times = settings.time_law.build()
        body = settings.network.build(spectrum.grid, 3 * dim, dim)
        self.denoiser = Denoiser(
            ResidualNet(body, num_params, num_levels=1),
            settings.process.build(),
            build_parameterization(settings.predicts, 1.0),
        )

    def draw(self, given: Given, generator: Generator) -> Tokens:
        """Return one residual for each row, by `num_steps` hops from noise.

        A hop costs one call of the network; of `heun` two, but for the last hop.
        """
        std = self.spectrum.std
        noise = pure_noise(self.denoiser.process, given[0][..., : len(std)], generator)
        return sample(self.flow_map(given, generator), noise, self.grid(self.settings.num_steps)) * std

    def grid(self, num_steps: int) -> Float[Tensor, " time"]:
        """Return the times of so many hops, from noise to data; see `CorrectorSettings.shift`."""
        return shifted_grid(self.denoiser.process, num_steps, self.settings.shift)

    def flow_map(self, given: Given, generator: Generator) -> FlowMap:
        """Return the flow map of the settings, for what is given."""
        posterior = self.denoiser.given(*given)
        match self.settings.sampler:
            case "ancestral":
                return ancestral(posterior, generator)
            case "heun":
                return heun(posterior)
            case "dpmpp_2m":
                return dpmpp_2m(posterior)
            case _:
                return ddim(posterior)

    @property
    def calls_per_frame(self) -> int:
        """How often a draw calls the network: once a hop, and again at all but the last of Heun's."""
        hops = self.settings.num_steps
        return 2 * hops - 1 if self.settings.sampler == "heun" else hops

    def manifest(self, emulator: EmulatorManifest) -> CorrectedManifest:
        """Return from what the corrector and the emulator underneath were built."""
        return CorrectedManifest(emulator=emulator, correction=self.settings)


class Corrected(nn.Module):
    """A Stepper: the emulator's step plus a residual that is drawn anew, for each row, at each step.

    `gain` scales the modes of the draws; it is matched after the training (`training/power.py`).
    """

    correction: Any  # a module that is a `Correction`

    def __init__(self, emulator: Emulator, correction: Correction) -> None:
        super().__init__()
        self.emulator, self.correction = emulator, correction
        self.gain = SpectralGain(lattice(emulator.codec), emulator.codec.dim)
        self.fields = emulator.fields
        self.num_context, self.frames_read = emulator.num_context, emulator.frames_read

    @property
    def normalizer(self) -> Normalizer:
        """The emulator's normalizer."""
        return self.emulator.normalizer

    @property
    def calls_per_frame(self) -> int:
        """How often a frame calls the network that draws its residual."""
        return self.correction.calls_per_frame

    def encode(
        self, context: Float[Tensor, "batch time field *grid"], params: Float[Tensor, "batch param"]
    ) -> State:
        """Return the emulator's state at the last frame."""
        return self.emulator.encode(context, params)

    def advance(self, state: State, generator: Generator | None = None) -> State:
        """Return one draw of the state a step later.

        Raises:
            ValueError: there is no generator to draw from.
        """
        if generator is None:
            raise ValueError("a corrector draws residuals: give a generator")
        tokens, params = self.emulator.advance(state)
        residual = self.correction.draw(given_of(state, tokens), generator)
        return tokens + self.gain(residual), params

    def decode(self, state: State) -> Float[Tensor, "batch field *grid"]:
        """Return the state's frame in physical units."""
        return self.emulator.decode(state)

    def manifest(self) -> Manifest:
        """Return everything but the numbers that is needed to build this stepper again."""
        return self.correction.manifest(self.emulator.manifest())


def pure_noise(process: NoiseProcess, like: Tokens, generator: Generator) -> Tokens:
    """Return a draw of the state at t = 1 in which there is nothing but noise, of the shape of `like`."""
    normal = torch.randn(like.shape, generator=generator, device=generator.device).to(like)
    return process.corrupt(torch.zeros_like(normal), normal, normal.new_ones(len(normal)))


@lru_cache
def shifted_grid(process: NoiseProcess, num_steps: int, shift: float) -> Float[Tensor, " time"]:
    """Return the process's grid with sigma / alpha multiplied by `shift` between its ends.

    On the linear path t becomes shift t / (1 + (shift - 1) t). Every draw of a forecast asks for it again, so it is
    kept. Source: Esser et al., arXiv:2403.03206, section 5.3.2.
    """
    grid = process.grid(num_steps)
    inner = process.time(process.logsnr(grid[1:-1]) - 2 * math.log(shift))
    return torch.cat([grid[:1], inner.to(grid), grid[-1:]])


def given_of(state: State, forecast: Tokens) -> Given:
    """Return what a correction is conditioned on: the state, the forecast made from it, the parameters."""
    tokens, params = state
    return torch.cat([tokens, forecast], dim=-1), params


class CorrectorSettings(Settings):
    """A generative model of the operator's residual."""

    kind: Literal["corrector"] = "corrector"
    network: NetworkSettings = SpectralLocal()
    """The denoiser."""
    process: ProcessSettings = LinearPath()
    """How noise is added."""
    predicts: Predicts = "flow"
    """What the network's output means."""
    weighting: WeightingSettings = OutputError()
    """How noise levels count in the loss."""
    time_law: TimeSettings = StratifiedTimes()
    """How noise times are drawn in training, 0 = data, 1 = noise."""
    rolled_steps: NonNegativeInt = 0
    """Steps of rollout, at most, before a residual is taken in training: 0 takes one-step residuals of the data."""
    sampler: Literal["ddim", "ancestral", "heun", "dpmpp_2m"] = "dpmpp_2m"
    """The flow map from noise to residuals; `ddim` in so few steps shrinks the spread."""
    shift: Annotated[float, Field(gt=0, le=1000)] = 3.0
    """How far the hops crowd towards noise: sigma / alpha at each is multiplied by this. A residual whose power is in
    few modes shows there; 1 spaces the hops evenly in time."""
    num_steps: PositiveInt = 16
    """Hops of the flow map: network calls for each frame."""

    @model_validator(mode="after")
    def _can_be_sampled(self) -> CorrectorSettings:
        process = self.process.kind
        if self.predicts == "eps" and process in ("linear", "cosine"):
            raise ValueError(
                f"predicts=eps says nothing of the data at the pure noise of process.kind={process}; choose v or flow"
            )
        if process == "edm" and self.shift != 1:
            raise ValueError("process.kind=edm has a grid of its own: set shift=1")
        return self

    def build(self, emulator: Emulator, spectrum: ResidualSpectrum, generator: Generator) -> Corrected:
        """Return the untrained corrector on top of an emulator.

        Raises:
            UserError: the network does not fit the tokens.
        """
        dim, num_params = emulator.codec.dim, len(emulator.fields.params)
        corrector = initialize(lambda: Corrector(self, dim, num_params, spectrum), generator)
        return Corrected(emulator, corrector)


class CorrectedManifest(Manifest):
    """From what a corrected emulator was built."""

    kind: Literal["corrected"] = "corrected"
    emulator: EmulatorManifest
    """The emulator underneath."""
    correction: CorrectorSettings
    """What draws its residuals."""

    free: ClassVar[tuple[str, ...]] = ("correction.sampler", "correction.num_steps", "correction.shift")

    def build(self) -> Corrected:
        """Return the corrected emulator, its numbers still to be restored."""
        emulator = self.emulator.build()
        blank = ResidualSpectrum.white(emulator.codec)
        return self.correction.build(emulator, blank, torch.Generator())
