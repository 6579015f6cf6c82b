"""The Inception-v3 network by whose pooled features FID is defined, with the names of the published weights.

Szegedy et al. (arXiv:1512.00567). The weights of 2015 were ported to PyTorch by pytorch-fid, and three blocks must
differ from today's Inception-v3 to reproduce them: average pools do not count the padding, and the last block
pools by the maximum.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalization, ReLU; keeps the size unless strided or `valid`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int] = (1, 1),
        stride: int = 1,
        valid: bool = False,
    ) -> None:
        super().__init__()
        height, width = kernel_size
        padding = (0, 0) if valid else (height // 2, width // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch out h w"]:
        """Return the activation."""
        return F.relu(self.bn(self.conv(x)))


class MixedA(nn.Module):
    """1x1, 5x5, double 3x3 and pooled paths at the finest resolution."""

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(in_channels, 64)
        self.branch5x5_1 = ConvNorm(in_channels, 48)
        self.branch5x5_2 = ConvNorm(48, 64, (5, 5))
        self.branch3x3dbl_1 = ConvNorm(in_channels, 64)
        self.branch3x3dbl_2 = ConvNorm(64, 96, (3, 3))
        self.branch3x3dbl_3 = ConvNorm(96, 96, (3, 3))
        self.branch_pool = ConvNorm(in_channels, pool_channels)

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch out h w"]:
        """Return the concatenated paths."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        wide = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_average(x))], dim=1)


class MixedB(nn.Module):
    """Halves the resolution: 3x3, double 3x3 and pooled paths."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNorm(in_channels, 384, (3, 3), stride=2, valid=True)
        self.branch3x3dbl_1 = ConvNorm(in_channels, 64)
        self.branch3x3dbl_2 = ConvNorm(64, 96, (3, 3))
        self.branch3x3dbl_3 = ConvNorm(96, 96, (3, 3), stride=2, valid=True)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch out h w"]:
        """Return the concatenated paths."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], dim=1)


class MixedC(nn.Module):
    """1x1, 7x7, double 7x7 and pooled paths; a 7x7 convolution is a 1x7 and a 7x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(768, 192)
        self.branch7x7_1 = ConvNorm(768, channels)
        self.branch7x7_2 = ConvNorm(channels, channels, (1, 7))
        self.branch7x7_3 = ConvNorm(channels, 192, (7, 1))
        self.branch7x7dbl_1 = ConvNorm(768, channels)
        self.branch7x7dbl_2 = ConvNorm(channels, channels, (7, 1))
        self.branch7x7dbl_3 = ConvNorm(channels, channels, (1, 7))
        self.branch7x7dbl_4 = ConvNorm(channels, channels, (7, 1))
        self.branch7x7dbl_5 = ConvNorm(channels, 192, (1, 7))
        self.branch_pool = ConvNorm(768, 192)

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch out h w"]:
        """Return the concatenated paths."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(_average(x))], dim=1)


class MixedD(nn.Module):
    """Halves the resolution: 3x3, 7x7 then 3x3, and pooled paths."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(768, 192)
        self.branch3x3_2 = ConvNorm(192, 320, (3, 3), stride=2, valid=True)
        self.branch7x7x3_1 = ConvNorm(768, 192)
        self.branch7x7x3_2 = ConvNorm(192, 192, (1, 7))
        self.branch7x7x3_3 = ConvNorm(192, 192, (7, 1))
        self.branch7x7x3_4 = ConvNorm(192, 192, (3, 3), stride=2, valid=True)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch out h w"]:
        """Return the concatenated paths."""
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        near = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([near, self.branch7x7x3_4(wide), F.max_pool2d(x, 3, stride=2)], dim=1)


class MixedE(nn.Module):
    """1x1, forked 3x3, forked double 3x3 and pooled paths at the coarsest resolution."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(in_channels, 320)
        self.branch3x3_1 = ConvNorm(in_channels, 384)
        self.branch3x3_2a = ConvNorm(384, 384, (1, 3))
        self.branch3x3_2b = ConvNorm(384, 384, (3, 1))
        self.branch3x3dbl_1 = ConvNorm(in_channels, 448)
        self.branch3x3dbl_2 = ConvNorm(448, 384, (3, 3))
        self.branch3x3dbl_3a = ConvNorm(384, 384, (1, 3))
        self.branch3x3dbl_3b = ConvNorm(384, 384, (3, 1))
        self.branch_pool = ConvNorm(in_channels, 192)

    def forward(
        self, x: Float[Tensor, "batch channel h w"], pooled: Float[Tensor, "batch channel h w"]
    ) -> Float[Tensor, "batch out h w"]:
        """Return the concatenated paths; how the input is pooled is the caller's choice."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        forks = [self.branch3x3_2a(once), self.branch3x3_2b(once)]
        forks += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        return torch.cat([self.branch1x1(x), *forks, self.branch_pool(pooled)], dim=1)


class InceptionV3(nn.Module):
    """Images of 299 x 299 pixels in [-1, 1] to the 2048 features of the last average pool ("pool3")."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, (3, 3), stride=2, valid=True)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, (3, 3), valid=True)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = ConvNorm(64, 80)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, (3, 3), valid=True)
        self.Mixed_5b = MixedA(192, 32)
        self.Mixed_5c = MixedA(256, 64)
        self.Mixed_5d = MixedA(288, 64)
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b = MixedC(128)
        self.Mixed_6c = MixedC(160)
        self.Mixed_6d = MixedC(160)
        self.Mixed_6e = MixedC(192)
        self.Mixed_7a = MixedD()
        self.Mixed_7b = MixedE(1280)
        self.Mixed_7c = MixedE(2048)

    def forward(self, images: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image 2048"]:
        """Return the features."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, stride=2))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        x = self.Mixed_7b(x, _average(x))
        x = self.Mixed_7c(x, F.max_pool2d(x, 3, stride=1, padding=1))
        return x.mean((2, 3))


def _average(x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel h w"]:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
