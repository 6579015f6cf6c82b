"""Images with what is known of them, and random batches of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

Split = Literal["train", "test"]
"""Which part of a source: `source.load(split)`."""

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Images:
    """Images of one size, kept as bytes; a batch of them is float32 in [-1, 1].

    `labels` are indices of `classes`. `description` says in a few words what the pixels are, encoding included, and
    stands beside every number that is measured on them.
    """

    pixels: UInt8[Tensor, "image channel height width"]
    labels: Int64[Tensor, " image"] | None
    classes: tuple[str, ...]
    description: str

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: Int64[Tensor, " batch"] | slice) -> Float[Tensor, "batch channel height width"]:
        """Return the images that `index` names: byte / 127.5 - 1, in [-1, 1]."""
        return self.pixels[index].float().div_(127.5).sub_(1.0)

    def to(self, device: torch.device | str) -> Images:
        """Return the same images on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, pixels=self.pixels.to(device), labels=labels)

    @property
    def digest(self) -> str:
        """16 hex digits of the content: pixels in their order, labels and classes."""
        total = hashlib.sha256(f"{tuple(self.pixels.shape)} {self.classes}".encode())
        total.update(self.pixels.numpy(force=True))
        if self.labels is not None:
            total.update(self.labels.numpy(force=True))
        return total.hexdigest()[:16]


def draw_images(
    images: Images, batch_size: int, generator: Generator, flip: bool = False
) -> Float[Tensor, "batch channel height width"]:
    """Return random images, drawn with replacement; with `flip`, each is mirrored left to right half of the time."""
    index = torch.randint(len(images), (batch_size,), generator=generator)
    batch = images.batch(index.to(images.pixels.device))
    if flip:
        mirrored = torch.rand(batch_size, 1, 1, 1, generator=generator) < 0.5
        batch = torch.where(mirrored.to(batch.device), batch.flip(-1), batch)
    return batch
