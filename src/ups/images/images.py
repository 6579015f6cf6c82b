"""Images with what is known of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int64, UInt8
from torch import Tensor

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

    @property
    def digest(self) -> str:
        """16 hex digits of the content: pixels in their order, labels and classes."""
        total = hashlib.sha256(f"{tuple(self.pixels.shape)} {self.classes}".encode())
        total.update(self.pixels.numpy(force=True))
        if self.labels is not None:
            total.update(self.labels.numpy(force=True))
        return total.hexdigest()[:16]
