"""The denoiser of images: a U-Net that sees logSNR, inside a noise process and a parameterization."""

from __future__ import annotations

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from ups import checkpoint
from ups.config import Settings
from ups.diffusion.denoiser import Denoiser, LogSNREmbedding
from ups.models.initialization import initialize
from ups.models.noise import Chain, Predicts, ProcessSettings, build_parameterization
from ups.nets.unet2d import UNet2d
from ups.streams import stream

COND_DIM = 64
"""Length of the vector that tells the blocks the noise level."""


class DenoiserSettings(Settings):
    """The network and the noise that it removes."""

    width: Annotated[int, Field(ge=16, multiple_of=8)] = 32
    """Channels at the full resolution."""
    multipliers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 2, 2)
    """Channels of each resolution, in units of the width."""
    num_blocks: PositiveInt = 2
    """Residual blocks at each resolution, on the way down."""
    attention: tuple[NonNegativeInt, ...] = ()
    """Resolutions with attention between pixels; 0 is the full one."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the residual blocks."""
    process: ProcessSettings = Chain()
    """How noise is added."""
    predicts: Predicts = "eps"
    """What the network predicts."""


class DenoiserManifest(checkpoint.Manifest):
    """What a denoiser was built from."""

    kind: Literal["image_denoiser"] = "image_denoiser"
    settings: DenoiserSettings
    channels: PositiveInt
    """Of an image."""
    data_mean: float
    """Of all training pixels."""
    data_std: PositiveFloat
    """Of all training pixels; the network's input has unit variance at every level."""

    def build(self) -> ImageDenoiser:
        """Return the denoiser, its numbers still to be restored."""
        return build_denoiser(self, stream(0, "denoiser"))


class LevelUNet(nn.Module):
    """A U-Net told the noise level: (x, logSNR) -> an image."""

    def __init__(self, settings: DenoiserSettings, channels: int) -> None:
        super().__init__()
        self.embedding = LogSNREmbedding(COND_DIM)
        self.unet = UNet2d(
            channels,
            settings.width,
            COND_DIM,
            settings.multipliers,
            settings.num_blocks,
            settings.attention,
            settings.dropout,
        )

    def forward(
        self, x: Float[Tensor, "batch channel height width"], logsnr: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Return the network's output, whatever it means."""
        return self.unet(x, self.embedding(logsnr))


class ImageDenoiser(Denoiser):
    """A denoiser that can be saved: (x_t, t) -> E[x0 | x_t] for images [batch, channel, height, width]."""

    def __init__(self, manifest: DenoiserManifest) -> None:
        settings = manifest.settings
        super().__init__(
            LevelUNet(settings, manifest.channels),
            settings.process.build(),
            build_parameterization(settings.predicts, manifest.data_std),
        )
        self._manifest = manifest

    def manifest(self) -> DenoiserManifest:
        """Return what the denoiser was built from."""
        return self._manifest


def build_denoiser(manifest: DenoiserManifest, generator: Generator) -> ImageDenoiser:
    """Return an untrained denoiser, its parameters a function of the generator alone."""
    return initialize(lambda: ImageDenoiser(manifest), generator)
