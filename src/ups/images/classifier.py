"""Features without foreign weights: those of a small classifier trained on the labelled images of the bench itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from ups import checkpoint
from ups.config import Settings, digest
from ups.models.initialization import initialize
from ups.streams import stream

_GROUPS = 8


class Classifier(Settings):
    """A small convolutional classifier of the training images; its last pooled activations are the features."""

    kind: Literal["classifier"] = "classifier"
    num_features: int = Field(64, gt=0, multiple_of=_GROUPS)
    """Channels before the last pool; a multiple of 8."""
    width: int = Field(16, gt=0, multiple_of=_GROUPS)
    """Channels of the first convolution; a multiple of 8."""
    num_updates: PositiveInt = 600
    """Updates of its training."""
    batch_size: PositiveInt = 128
    """Images of an update."""
    learning_rate: PositiveFloat = 4e-3
    """Peak of the one-cycle schedule of AdamW."""
    seed: int = 0
    """Of its initialization and its batches."""


class ClassifierManifest(checkpoint.Manifest):
    """What a saved classifier was built from."""

    kind: Literal["image_classifier"] = "image_classifier"
    settings: Classifier
    num_channels: PositiveInt
    num_classes: PositiveInt

    def build(self) -> ImageClassifier:
        """Return the classifier, its numbers still to be restored."""
        return ImageClassifier(self)


class ImageClassifier(nn.Module):
    """Four convolutions, two of them strided, group norm and GELU, a global average pool, and a linear head."""

    def __init__(self, manifest: ClassifierManifest) -> None:
        super().__init__()
        self._manifest = manifest
        width, num_features = manifest.settings.width, manifest.settings.num_features
        self.features = nn.Sequential(
            *_layer(manifest.num_channels, width, stride=1),
            *_layer(width, 2 * width, stride=2),
            *_layer(2 * width, 4 * width, stride=2),
            *_layer(4 * width, num_features, stride=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(num_features, manifest.num_classes)

    def forward(self, images: Float[Tensor, "image channel height width"]) -> Float[Tensor, "image label"]:
        """Return the logits."""
        return self.head(self.features(images))

    def manifest(self) -> ClassifierManifest:
        """Return what the classifier was built from."""
        return self._manifest


def train_classifier(
    settings: Classifier,
    images: Float[Tensor, "image channel height width"],
    labels: Int[Tensor, "image"],
) -> ImageClassifier:
    """Return a classifier trained by cross-entropy: the same one whenever it is called with the same arguments."""
    manifest = ClassifierManifest(
        settings=settings, num_channels=images.shape[1], num_classes=int(labels.max()) + 1
    )
    model = initialize(lambda: ImageClassifier(manifest), stream(settings.seed, "classifier/parameters"))
    model = model.to(images.device)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.num_updates)
    generator = stream(settings.seed, "classifier/batches")
    for _ in range(settings.num_updates):
        batch = torch.randint(len(images), (settings.batch_size,), generator=generator).to(images.device)
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), labels[batch].long()).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def trained_classifier(
    settings: Classifier,
    images: Float[Tensor, "image channel height width"],
    labels: Int[Tensor, "image"],
    folder: Path,
) -> ImageClassifier:
    """Return the classifier of these settings and images: the one saved in the folder, else trained and saved.

    It lies in `image-classifier-<digest>`, so that all runs on the same images are measured by the same network.
    """
    home = folder / f"image-classifier-{digest([settings.model_dump(mode='json'), _digest(images, labels)])}"
    if not (home / checkpoint.MANIFEST).exists():
        checkpoint.save(train_classifier(settings, images, labels), home)
    return checkpoint.load(home).to(images.device)


@torch.inference_mode()
def accuracy(
    classifier: ImageClassifier,
    images: Float[Tensor, "image channel height width"],
    labels: Int[Tensor, "image"],
    batch_size: int = 256,
) -> float:
    """Return the fraction of the images whose largest logit is that of their label."""
    predicted = torch.cat([classifier(batch).argmax(1) for batch in images.split(batch_size)])
    return float((predicted == labels).double().mean())


def _layer(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return [convolution, nn.GroupNorm(_GROUPS, out_channels), nn.GELU()]


def _digest(*tensors: Tensor) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        found.update(tensor.cpu().contiguous().numpy().data)
    return found.hexdigest()
