"""Images that need no download: crops of the two photographs and the digits that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from ups.config import Settings
from ups.images.images import Images, Split
from ups.progress import Progress
from ups.streams import stream
from ups.types import UserError

SIZE = 32
TILE = (71, 64)
"""Height and width of the tiles of a photograph, each in one split."""
NUM_TEST_DIGITS = 360


class Crops(Settings):
    """Random 32 x 32 crops of two photographs, a temple and a flower.

    Each photograph is cut into 6 x 10 tiles, of which every fifth, spread evenly, is for the test; a crop lies within
    one tile, so no pixel is in both splits. Crops overlap, so there are far fewer independent ones than crops, and more
    than a third of them is plain sky or blur.
    """

    kind: Literal["crops"] = "crops"
    num_train: PositiveInt = 20_000
    """Crops for training, no two at one place; more of them keep those that there were."""
    num_test: PositiveInt = 2_000
    """Crops for the test."""
    seed: NonNegativeInt = 0
    """Of the places."""

    def load(self, split: Split, cache_dir: Path | None = None, progress: Progress | None = None) -> Images:
        """Return one split; made anew in a moment, so nothing is cached.

        Raises:
            UserError: scikit-learn is not there, or there are fewer places than crops.
        """
        count = self.num_train if split == "train" else self.num_test
        photographs = _scikit_learn().load_sample_images()
        pixels = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in photographs.images]
        places = torch.tensor([
            (photo, *place) for photo, image in enumerate(pixels) for place in _places(image, split)
        ])
        if count > len(places):
            raise UserError(f"data.num_{split}={count}: there are {len(places)} places for a crop")
        order = torch.randperm(len(places), generator=stream(self.seed, f"crops/{split}"))
        chosen = places[order[:count]]
        crops = [
            pixels[photo][:, top : top + SIZE, left : left + SIZE] for photo, top, left in chosen.tolist()
        ]
        classes = tuple(Path(name).stem for name in photographs.filenames)
        return Images(
            torch.stack(crops), chosen[:, 0].clone(), classes, "32 x 32 crops of two photographs (JPEG)"
        )


class Digits(Settings):
    """The 1797 handwritten digits of 8 x 8 pixels, enlarged to 32 x 32; gray, in three channels."""

    kind: Literal["digits"] = "digits"

    def load(self, split: Split, cache_dir: Path | None = None, progress: Progress | None = None) -> Images:
        """Return one split: the last 360 digits are the test; made anew in a moment, so nothing is cached.

        Raises:
            UserError: scikit-learn is not there.
        """
        digits = _scikit_learn().load_digits()
        part = slice(None, -NUM_TEST_DIGITS) if split == "train" else slice(-NUM_TEST_DIGITS, None)
        ink = torch.from_numpy(digits.images[part]).float()[:, None] * (255 / 16)
        large = torch.nn.functional.interpolate(ink, size=(SIZE, SIZE), mode="bilinear")
        pixels = large.round().to(torch.uint8).repeat(1, 3, 1, 1)
        labels = torch.from_numpy(digits.target[part]).long()
        return Images(pixels, labels, tuple("0123456789"), "8 x 8 digits enlarged to 32 x 32")


def _places(image: UInt8[Tensor, "channel height width"], split: Split) -> list[tuple[int, int]]:
    """Return the top left corners of all crops that lie within a tile of the split."""
    height, width = TILE
    rows, columns = image.shape[1] // height, image.shape[2] // width
    return [
        (row * height + top, column * width + left)
        for row in range(rows)
        for column in range(columns)
        if ((column + 2 * row) % 5 == 0) == (split == "test")  # a knight's move apart
        for top in range(height - SIZE + 1)
        for left in range(width - SIZE + 1)
    ]


def _scikit_learn() -> Any:
    try:
        from sklearn import datasets
    except ImportError:
        raise UserError(
            "data: these images come with scikit-learn: pip install 'universal-physics-stack[images]'"
        ) from None
    return datasets
