"""Networks that mix cells in Fourier space: spectral convolution, FNO, and spectral + local convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ups.nets.blocks import Conv1d, ModulatedPointwise, PointwiseMLP, zero_init
from ups.nets.conv import local_conv


class SpectralConv1d(nn.Module):
    """Multiply the lowest Fourier modes of a periodic line by a complex matrix each, and drop the others.

    y_hat[k] = W[k]^T x_hat[k] for k < modes, else 0. With x_hat the coefficients of the trigonometric
    interpolant, the result does not depend on the number of cells (at least 2 modes - 1). The weight has shape
    (real or imaginary, mode, in, out), and starts uniform in [0, 1 / (in * out)) as in Li et al. (arXiv:2010.08895).

    Few modes of a short line are faster by two real matrix products than by a fast transform, and need no
    complex numbers.
    """

    def __init__(self, in_channels: int, out_channels: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(
            torch.rand(2, modes, in_channels, out_channels) / (in_channels * out_channels)
        )

    def forward(self, x: Float[Tensor, "batch channel cell"]) -> Float[Tensor, "batch out cell"]:
        """Return the convolution on the same cells."""
        forth, back = _fourier_matrices(x.shape[-1], self.modes, x.dtype, x.device)
        # a convolution of width 1 whose channels are the cells: the product along the line, in a fast layout
        spectrum = F.conv1d(x.mT.contiguous(), forth)
        spectrum = rearrange(spectrum, "batch (mode part) channel -> mode batch (part channel)", part=2)
        product = rearrange(
            torch.bmm(spectrum, self._mix()), "mode batch (part out) -> batch (mode part) out", part=2
        )
        return F.conv1d(product.contiguous(), back).mT

    def across(self, x: Float[Tensor, "before cell after channel"]) -> Float[Tensor, "before cell after out"]:
        """Return the convolution along one axis of a grid, whose channels stand last."""
        forth, back = _fourier_matrices(x.shape[1], self.modes, x.dtype, x.device)
        spectrum = torch.matmul(forth[..., 0], x.flatten(2)).unflatten(2, x.shape[2:])
        spectrum = rearrange(spectrum, "b (mode part) a channel -> mode (b a) (part channel)", part=2)
        product = torch.bmm(spectrum, self._mix())
        product = rearrange(product, "mode (b a) (part out) -> b (mode part) (a out)", part=2, a=x.shape[2])
        return torch.matmul(back[..., 0], product).unflatten(2, (x.shape[2], -1))

    def _mix(self) -> Float[Tensor, "mode row column"]:
        """Return one real matrix for each mode: (a + ib)(c + id) for rows (a, b)."""
        real, imaginary = self.weight
        return torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached in inference mode could not be used in training
def _fourier_matrices(
    num_cells: int, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "row cell 1"], Float[Tensor, "cell row 1"]]:
    """Return the matrices from cells to (mode, real or imaginary) and back, as kernels of width 1.

    Those of `rfft` and `irfft`, cut off after `modes`.
    """
    if modes > (num_cells + 1) // 2:
        raise ValueError(f"{modes} modes need at least {2 * modes - 1} cells, not {num_cells}")
    mode, cell = torch.arange(modes), torch.arange(num_cells)
    # mode * cell modulo the length is exact, so that large angles lose no digits
    angle = ((mode[:, None] * cell) % num_cells).double() * (2 * math.pi / num_cells)
    forth = torch.stack([angle.cos(), -angle.sin()], dim=1)
    weight = torch.where(mode == 0, 1.0, 2.0).double() / num_cells  # mode k stands for -k too
    back = forth * weight[:, None, None]
    forth, back = forth.reshape(2 * modes, num_cells, 1), back.reshape(2 * modes, num_cells).T[..., None]
    return forth.contiguous().to(device, dtype), back.contiguous().to(device, dtype)


class CosineConv1d(nn.Module):
    """Multiply the lowest cosines between two walls by a real matrix each, and drop the others.

    y_hat[k] = W[k]^T x_hat[k] for k < modes, else 0, with x_hat the DCT-II: what a `SpectralConv1d` of real weights
    does to the line and its mirror image, whose mode k this is. The weight has shape (mode, in, out).
    """

    def __init__(self, in_channels: int, out_channels: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(
            torch.rand(modes, in_channels, out_channels) / (in_channels * out_channels)
        )

    def forward(self, x: Float[Tensor, "batch channel cell"]) -> Float[Tensor, "batch out cell"]:
        """Return the convolution on the same cells."""
        forth, back = _cosine_matrices(x.shape[-1], self.modes, x.dtype, x.device)
        spectrum = F.conv1d(x.mT.contiguous(), forth)  # the product along the line, as in `SpectralConv1d`
        product = torch.bmm(spectrum.transpose(0, 1), self.weight).transpose(0, 1)
        return F.conv1d(product.contiguous(), back).mT

    def across(self, x: Float[Tensor, "before cell after channel"]) -> Float[Tensor, "before cell after out"]:
        """Return the convolution along one axis of a grid, whose channels stand last."""
        forth, back = _cosine_matrices(x.shape[1], self.modes, x.dtype, x.device)
        spectrum = torch.matmul(forth[..., 0], x.flatten(2)).unflatten(2, x.shape[2:])
        product = torch.bmm(rearrange(spectrum, "b mode a channel -> mode (b a) channel"), self.weight)
        product = rearrange(product, "mode (b a) out -> b mode (a out)", a=x.shape[2])
        return torch.matmul(back[..., 0], product).unflatten(2, (x.shape[2], -1))


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached in inference mode could not be used in training
def _cosine_matrices(
    num_cells: int, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "mode cell 1"], Float[Tensor, "cell mode 1"]]:
    """Return the matrices from cells to cosines and back, as kernels of width 1."""
    if modes > num_cells:
        raise ValueError(f"{modes} cosines need at least as many cells, not {num_cells}")
    mode, cell = torch.arange(modes), torch.arange(num_cells)
    angle = (mode[:, None] * (2 * cell + 1) % (4 * num_cells)).double() * (math.pi / (2 * num_cells))
    forth = angle.cos()
    weight = torch.where(mode == 0, 1.0, 2.0).double() / num_cells
    back = (forth * weight[:, None]).T
    return forth[..., None].contiguous().to(device, dtype), back[..., None].contiguous().to(device, dtype)


class AxisConvs(nn.Module):
    """The sum of spectral convolutions along each axis of a plane or a box: the cost of lines in any dimension.

    Source: Tran et al., Factorized Fourier Neural Operators, arXiv:2111.13802.
    """

    along: Any  # a list of such convolutions

    def __init__(self, along: Sequence[SpectralConv1d | CosineConv1d]) -> None:
        super().__init__()
        self.along = nn.ModuleList(along)

    def forward(self, x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch out *grid"]:
        """Return the sum on the same cells; its channels are next to each other in memory."""
        last = x.movedim(1, -1)
        mixed = []
        for place, convolution in enumerate(self.along, start=1):
            shape = last.shape
            lines = last.reshape(math.prod(shape[:place]), shape[place], -1, shape[-1])
            mixed.append(convolution.across(lines).reshape(*shape[:-1], -1))
        return sum(mixed[1:], mixed[0]).movedim(-1, 1)


def spectral_conv(in_channels: int, out_channels: int, modes: int, walls: Sequence[bool]) -> nn.Module:
    """Return a spectral convolution on a grid whose axes repeat or lie between walls; `walls` says which.

    Between walls there are twice the modes, so that the shortest wave is as long as on a periodic axis.
    """
    along = [
        CosineConv1d(in_channels, out_channels, 2 * modes)
        if is_walled
        else SpectralConv1d(in_channels, out_channels, modes)
        for is_walled in walls
    ]
    return along[0] if len(along) == 1 else AxisConvs(along)


def flatten_grid(x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch channel cell"]:
    """Return the cells of a grid in one row, for what is the same in every cell; a line stays as it is."""
    return x if x.ndim == 3 else x.flatten(2)


class FNO(nn.Module):
    """The Fourier neural operator as PDEBench builds it: lift, spectral + pointwise layers, pointwise head.

    x -> GELU(spectral(x) + pointwise(x)), without the GELU in the last layer. `padding` zero cells are appended
    for the layers and cut off before the head; 0 on a periodic line. `walls` says of each axis whether it lies
    between walls; beyond a line the spectral layers are factorized, one convolution an axis.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        modes: int,
        num_layers: int = 4,
        padding: int = 0,
        walls: Sequence[bool] = (False,),
    ) -> None:
        super().__init__()
        self.padding = padding
        self.lift = Conv1d(in_channels, width, 1)
        self.spectral = nn.ModuleList(spectral_conv(width, width, modes, walls) for _ in range(num_layers))
        self.pointwise = nn.ModuleList(Conv1d(width, width, 1) for _ in range(num_layers))
        self.head = PointwiseMLP(width, 128, out_channels)

    def forward(self, x: Float[Tensor, "batch channel *grid"]) -> Float[Tensor, "batch out *grid"]:
        """Return the output on the same cells."""
        grid = x.shape[2:]
        x = F.pad(self.lift(flatten_grid(x)), [0, self.padding])
        padded = grid if len(grid) > 1 else x.shape[2:]
        for layer, (spectral, pointwise) in enumerate(zip(self.spectral, self.pointwise, strict=True)):
            x = flatten_grid(spectral(x.unflatten(2, padded))) + pointwise(x)
            if layer < len(self.spectral) - 1:
                x = F.gelu(x)
        return self.head(x[..., : math.prod(grid)]).unflatten(2, grid)


class SpectralLocalBlock(nn.Module):
    """A global and a local path together: x -> x + MLP(GELU(spectral(x) + local(x)), condition).

    The spectral path sees the whole grid at the resolution of its modes, the local convolution what is sharper
    than that. The condition modulates the first layer of the pointwise MLP.
    """

    def __init__(
        self,
        width: int,
        modes: int,
        kernel_size: int,
        cond_dim: int,
        walls: Sequence[bool] = (False,),
    ) -> None:
        super().__init__()
        self.spectral = spectral_conv(width, width, modes, walls)
        for weight in self.spectral.parameters():  # keeps the variance of its modes
            parts = 2 if weight.ndim == 4 else 1  # real and imaginary
            nn.init.normal_(weight, std=(1 / (parts * len(walls))) ** 0.5 / width)
        self.local = local_conv(width, width, kernel_size, walls)
        self.expand = ModulatedPointwise(cond_dim, width, 2 * width)
        self.project = Conv1d(2 * width, width, 1)

    def forward(
        self, x: Float[Tensor, "batch channel *grid"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch channel *grid"]:
        """Return the block's output on the same cells."""
        mixed = flatten_grid(F.gelu(self.spectral(x) + self.local(x)))
        return x + self.project(F.gelu(self.expand(mixed, condition))).unflatten(2, x.shape[2:])


class SpectralLocalNet(nn.Module):
    """Lift by a convolution of width 5, spectral + local blocks, pointwise head.

    `walls` says of each axis of the grid whether it lies between two walls; the others repeat, and the network
    commutes with shifts along them. Its output is zero at initialization.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        num_blocks: int,
        modes: int,
        kernel_size: int,
        cond_dim: int,
        walls: Sequence[bool] = (False,),
    ) -> None:
        super().__init__()
        self.lift = local_conv(in_channels, width, 5, walls)
        self.blocks = nn.ModuleList(
            SpectralLocalBlock(width, modes, kernel_size, cond_dim, walls) for _ in range(num_blocks)
        )
        self.head = PointwiseMLP(width, 64, out_channels)
        zero_init(self.head[-1])

    def forward(
        self, x: Float[Tensor, "batch channel *grid"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch out *grid"]:
        """Return the output on the same cells."""
        grid = x.shape[2:]
        x = self.lift(x)
        for block in self.blocks:
            x = block(x, condition)
        return self.head(flatten_grid(x)).unflatten(2, grid)
