"""Networks that mix cells in Fourier space: spectral convolution, FNO, and spectral + local convolution."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ups.nets.blocks import Conv1d, ModulatedPointwise, PointwiseMLP, zero_init
from ups.nets.conv import circular_conv


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
        real, imaginary = self.weight
        # (a + ib)(c + id) for rows (a, b): one real matrix for each mode
        mix = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
        # a convolution of width 1 whose channels are the cells: the product along the line, in a fast layout
        spectrum = F.conv1d(x.mT.contiguous(), forth)
        spectrum = rearrange(spectrum, "batch (mode part) channel -> mode batch (part channel)", part=2)
        product = rearrange(
            torch.bmm(spectrum, mix), "mode batch (part out) -> batch (mode part) out", part=2
        )
        return F.conv1d(product.contiguous(), back).mT


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


class FNO(nn.Module):
    """The Fourier neural operator as PDEBench builds it: lift, spectral + pointwise layers, pointwise head.

    x -> GELU(spectral(x) + pointwise(x)), without the GELU in the last layer. `padding` zero cells are appended
    for the layers and cut off before the head; 0 on a periodic line.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        modes: int,
        num_layers: int = 4,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.lift = Conv1d(in_channels, width, 1)
        self.spectral = nn.ModuleList(SpectralConv1d(width, width, modes) for _ in range(num_layers))
        self.pointwise = nn.ModuleList(Conv1d(width, width, 1) for _ in range(num_layers))
        self.head = PointwiseMLP(width, 128, out_channels)

    def forward(self, x: Float[Tensor, "batch channel cell"]) -> Float[Tensor, "batch out cell"]:
        """Return the output on the same cells."""
        num_cells = x.shape[-1]
        x = F.pad(self.lift(x), [0, self.padding])
        for layer, (spectral, pointwise) in enumerate(zip(self.spectral, self.pointwise, strict=True)):
            x = spectral(x) + pointwise(x)
            if layer < len(self.spectral) - 1:
                x = F.gelu(x)
        return self.head(x[..., :num_cells])


class SpectralLocalBlock(nn.Module):
    """A global and a local path together: x -> x + MLP(GELU(spectral(x) + local(x)), condition).

    The spectral path sees the whole line at the resolution of its modes, the circular convolution what is
    sharper than that. The condition modulates the first layer of the pointwise MLP.
    """

    def __init__(self, width: int, modes: int, kernel_size: int, cond_dim: int) -> None:
        super().__init__()
        self.spectral = SpectralConv1d(width, width, modes)
        nn.init.normal_(self.spectral.weight, std=0.5**0.5 / width)  # keeps the variance of its modes
        self.local = circular_conv(width, width, kernel_size)
        self.expand = ModulatedPointwise(cond_dim, width, 2 * width)
        self.project = Conv1d(2 * width, width, 1)

    def forward(
        self, x: Float[Tensor, "batch channel cell"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch channel cell"]:
        """Return the block's output on the same cells."""
        mixed = F.gelu(self.spectral(x) + self.local(x))
        return x + self.project(F.gelu(self.expand(mixed, condition)))


class SpectralLocalNet(nn.Module):
    """Lift by a circular convolution of width 5, spectral + local blocks, pointwise head.

    Its output is zero at initialization. It commutes with shifts of the periodic line.
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
    ) -> None:
        super().__init__()
        self.lift = circular_conv(in_channels, width, 5)
        self.blocks = nn.ModuleList(
            SpectralLocalBlock(width, modes, kernel_size, cond_dim) for _ in range(num_blocks)
        )
        self.head = PointwiseMLP(width, 64, out_channels)
        zero_init(self.head[-1])

    def forward(
        self, x: Float[Tensor, "batch channel cell"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch out cell"]:
        """Return the output on the same cells."""
        x = self.lift(x)
        for block in self.blocks:
            x = block(x, condition)
        return self.head(x)
