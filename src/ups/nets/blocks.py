"""Small parts that every network shares: multilayer perceptrons, features of scalars and phases, modulation."""

from __future__ import annotations

import math
from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def zero_init(layer: M) -> M:
    """Set the parameters of a layer to zero, so that the branch it ends starts silent; returns the layer."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class MLP(nn.Sequential):
    """Linear, GELU, Linear along the last axis."""

    def __init__(self, dim: int, hidden: int, out: int | None = None) -> None:
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, out or dim))


class Conv1d(nn.Conv1d):
    """PyTorch's convolution, computed on activations whose channels are next to each other in memory.

    Shapes, parameters and results are those of `torch.nn.Conv1d`; on a CPU it takes about half of the time, since
    a two-dimensional convolution has kernels for that layout and a one-dimensional one has none. The layout passes
    through pointwise functions, so that a network of such convolutions reorders nothing.
    """

    def forward(self, input: Float[Tensor, "batch channel cell"]) -> Float[Tensor, "batch out site"]:
        """Return the convolution."""
        (reach,) = cast(tuple[int], self.padding)
        line = input.mT  # cells, then channels
        if reach and self.padding_mode == "circular":
            line = torch.cat([line[:, -reach:], line, line[:, :reach]], dim=1)
        elif reach:
            line = nn.functional.pad(line, [0, 0, reach, reach])
        plane = line.contiguous().mT.unsqueeze(2)
        stride, dilation = (1, *self.stride), (1, *self.dilation)
        out = nn.functional.conv2d(
            plane, self.weight.unsqueeze(2), self.bias, stride, 0, dilation, self.groups
        )
        return out.squeeze(2)


class PointwiseMLP(nn.Sequential):
    """Linear, GELU, Linear along the channel axis, the same in every cell."""

    def __init__(self, channels: int, hidden: int, out: int | None = None) -> None:
        super().__init__(Conv1d(channels, hidden, 1), nn.GELU(), Conv1d(hidden, out or channels, 1))


def scalar_features(
    scalars: Float[Tensor, "batch scalar"], num_frequencies: int = 3
) -> Float[Tensor, "batch feature"]:
    """Return each scalar c with sin(2^k c) and cos(2^k c), k = 0 ... num_frequencies - 1.

    Meant for scalars of order one: standardized parameters, relative step sizes.
    """
    frequencies = 2.0 ** torch.arange(num_frequencies, device=scalars.device, dtype=scalars.dtype)
    angles = (scalars[:, :, None] * frequencies).flatten(1)
    return torch.cat([scalars, angles.sin(), angles.cos()], dim=1)


def periodic_features(
    phase: Float[Tensor, "*shape"], num_frequencies: int
) -> Float[Tensor, "*shape feature"]:
    """Return sin(2 pi k phase) and cos(2 pi k phase), k = 1 ... num_frequencies: equal at phase 0 and phase 1."""
    wavenumbers = torch.arange(1, num_frequencies + 1, device=phase.device, dtype=phase.dtype)
    angles = 2 * math.pi * phase[..., None] * wavenumbers
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ConditionEmbedding(nn.Module):
    """Scalar conditions as one vector: Fourier features, Linear, GELU."""

    def __init__(self, num_scalars: int, dim: int, num_frequencies: int = 3) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.linear = nn.Linear(num_scalars * (1 + 2 * num_frequencies), dim)

    def forward(self, scalars: Float[Tensor, "batch scalar"]) -> Float[Tensor, "batch condition"]:
        """Return the embedding of the scalars."""
        return nn.functional.gelu(self.linear(scalar_features(scalars, self.num_frequencies)))


class Modulation(nn.Module):
    """Scale and shift of normalized tokens by a condition; nothing at initialization.

    h -> (1 + scale(c)) h + shift(c), both linear in the condition and zero at first (AdaLN-zero, Peebles & Xie,
    arXiv:2212.09748).
    """

    def __init__(self, cond_dim: int, dim: int) -> None:
        super().__init__()
        self.linear = zero_init(nn.Linear(cond_dim, 2 * dim))

    def forward(
        self, h: Float[Tensor, "batch token dim"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens, each channel scaled and shifted."""
        scale, shift = self.linear(condition)[:, None, :].chunk(2, dim=-1)
        return torch.addcmul(shift, h, 1 + scale)


class ModulatedPointwise(nn.Module):
    """A linear map of the channels whose inputs are scaled and outputs shifted by a condition.

    x -> W ((1 + scale(c)) x) + b + shift(c), scale and shift linear in the condition and zero at first. The scale
    is folded into the weights of each sample, so that the modulation never touches the cells and costs nothing.
    """

    def __init__(self, cond_dim: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)
        self.scale = zero_init(nn.Linear(cond_dim, in_channels))
        self.shift = zero_init(nn.Linear(cond_dim, out_channels))

    def forward(
        self, x: Float[Tensor, "batch channel cell"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch out cell"]:
        """Return the modulated map of every cell."""
        weight = self.linear.weight * (1 + self.scale(condition))[:, None, :]
        bias = self.linear.bias + self.shift(condition)
        return torch.baddbmm(bias[:, None, :], x.mT, weight.mT).mT  # channels stay next to each other
