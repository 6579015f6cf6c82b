"""The anchors of every table of fidelity: what real images, blurred ones, the mean image and noise score.

A distance means little by itself. Training images against the test set are the best that a model can reach at
that number of samples, and noise is where it starts; a model near noise is a broken measurement or a broken model.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from ups.images.features import Extractor
from ups.images.fidelity import Fidelity, fidelity
from ups.types import UserError


def anchors(
    extractor: Extractor,
    train: Float[Tensor, "image channel height width"],
    reference: Float[Tensor, "reference feature"],
    num_samples: int,
    generator: Generator,
) -> list[Fidelity]:
    """Return the distances of the anchors to the features of the test images, `num_samples` images each.

    "train": training images drawn without replacement; "blurred": the same ones, blurred by a Gaussian of 1/16 of
    their width; "mean image": the mean of the training images, repeated; "noise": standard normal pixels, clamped to
    [-1, 1] like all images.

    Raises:
        UserError: there are fewer training images than samples, or too few samples for the features.
    """
    if num_samples > len(train):
        raise UserError(
            f"anchors: {num_samples} samples are more than the {len(train)} training images; draw at most that many"
        )
    order = torch.randperm(len(train), generator=generator, device=generator.device)
    chosen = train[order[:num_samples].to(train.device)]
    noise = torch.randn(chosen.shape, generator=generator, device=generator.device)
    sets = {
        "train": chosen,
        "blurred": blur(chosen, chosen.shape[-1] / 16),
        "mean image": train.mean(0).expand_as(chosen),
        "noise": noise,
    }
    return [fidelity(extractor.name, name, extractor(images), reference) for name, images in sets.items()]


def blur(
    images: Float[Tensor, "image channel height width"], sigma: float
) -> Float[Tensor, "image channel height width"]:
    """Return images convolved with a Gaussian of standard deviation `sigma` pixels, mirrored at the edges."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0)
    flat = F.pad(images.flatten(0, 1)[:, None], (radius,) * 4, mode="reflect")
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return flat[:, 0].unflatten(0, images.shape[:2])
