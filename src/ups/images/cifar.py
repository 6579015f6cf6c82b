"""CIFAR-10's own python batches, read without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ups.config import Settings
from ups.images.images import CIFAR10, Images, Split
from ups.images.serialized import read_serialized
from ups.progress import Progress
from ups.types import UserError

FILES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}


class CifarBatches(Settings):
    """The folder `cifar-10-batches-py`: five batches for training and one for the test, pixels as published."""

    kind: Literal["cifar"] = "cifar"
    folder: Path
    """Where data_batch_1 to data_batch_5 and test_batch are."""

    def load(self, split: Split, cache_dir: Path | None = None, progress: Progress | None = None) -> Images:
        """Return one split; there is nothing to decode, so nothing is cached.

        Raises:
            UserError: a file is missing or damaged, holds anything but the arrays and lists of CIFAR-10, or asks to
                have something run.
        """
        pixels, labels = [], []
        for index, name in enumerate(FILES[split]):
            if progress:
                progress(index / len(FILES[split]), name)
            data, numbers = _batch(self.folder / name)
            pixels.append(torch.from_numpy(data).view(-1, 3, 32, 32))
            labels.append(torch.tensor(numbers))
        return Images(torch.cat(pixels), torch.cat(labels), CIFAR10, "CIFAR-10")


def _batch(path: Path) -> tuple[np.ndarray, list[int]]:
    content = read_serialized(path)
    try:
        data, labels = (
            content[key.encode()] if key.encode() in content else content[key] for key in ("data", "labels")
        )
    except (KeyError, TypeError):
        raise UserError(f"{path}: no data and labels in it; it is no batch of CIFAR-10") from None
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3072 or not len(data):
        got = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise UserError(f"{path}: data is {got}, expected an array of rows of 3072 bytes (3 x 32 x 32)")
    known = isinstance(labels, list) and all(type(n) is int and 0 <= n < len(CIFAR10) for n in labels)
    if not known or len(labels) != len(data):
        raise UserError(f"{path}: labels are not {len(data)} numbers from 0 to 9")
    return data, labels
