"""Random initial frames, sampled at the centers of equal cells."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.solvers.equation import Initial
from ups.solvers.modes import Modes
from ups.types import Grid

_HIGHEST = 4  # mode
_NUM_WAVES = 2
_WINDOW_WIDTH = 0.01  # of the window's edges, as a fraction of the extent


def start(
    law: Initial, num: int, grid: Grid, generator: Generator, offset: float = 0.0, is_scaled: bool = False
) -> Float[Tensor, "batch field *grid"]:
    """Return frames of a law, each raised by a number uniform in [-offset, offset], or scaled to [0, 1]."""
    if law == "gaussian_field":
        frames = gaussian_field(num, grid, generator)
    elif law == "seeds":
        frames = seeds(num, grid, generator)
    elif len(grid) > 1 or not grid.is_periodic:
        frames = waves(num, grid, generator)
    elif law == "clean":
        frames = clean(num, *grid.shape, *grid.extent, generator)
    else:
        frames = pdebench_like(num, *grid.shape, *grid.extent, generator)
    if offset:
        frames = frames + offset * (2 * _uniform((num, *(1,) * (1 + len(grid))), generator) - 1)
    if is_scaled:
        space = tuple(range(2, frames.ndim))
        low, high = frames.amin(space, keepdim=True), frames.amax(space, keepdim=True)
        frames = (frames - low) / (high - low)
    return frames


def pdebench_like(
    num: int, num_cells: int, extent: float, generator: Generator
) -> Float[Tensor, "batch 1 cell"]:
    """Return frames with the distribution of PDEBench's 1D Burgers and advection data, quirks included.

    Two mode numbers are drawn from 1..4 with replacement, and u = sum_m A_m sin(k_m x + phase_m) runs over all
    four modes, A uniform in [0, 1], phase in [0, 2 pi]. What a formula would not tell: (i) a mode that is drawn
    twice has twice the wavenumber instead of twice the amplitude; (ii) a mode that is not drawn has k = 0 and
    still adds A sin(phase), a random offset; (iii) wavenumbers are multiples of 2 pi / (extent - dx), so that
    the waves miss periodicity by a cell. Then |u| in one frame of ten, a random sign, and in one of ten a window
    with smooth edges at uniform places in [.1, .45] and [.55, .9] of the domain.

    All draws are independent, where PDEBench's share some of their keys.
    Source: Takamoto et al., PDEBench, arXiv:2210.07182, and the description of how its data were made.
    """
    x = _centers(num_cells, extent)
    drawn = torch.randint(_HIGHEST, (num, _NUM_WAVES), generator=generator)
    count = torch.nn.functional.one_hot(drawn, _HIGHEST).sum(1).double()
    span = extent * (num_cells - 1) / num_cells
    wavenumber = 2 * math.pi / span * count * torch.arange(1, _HIGHEST + 1)
    amplitude = _uniform((num, _HIGHEST), generator)
    phase = 2 * math.pi * _uniform((num, _HIGHEST), generator)
    waves = amplitude[..., None] * torch.sin(wavenumber[..., None] * x + phase[..., None])
    u = waves.sum(1)
    is_rectified = _uniform((num, 1), generator) < 0.1
    sign = torch.sign(_uniform((num, 1), generator) - 0.5)
    u = sign * torch.where(is_rectified, u.abs(), u)
    is_windowed = _uniform((num, 1), generator) < 0.1
    left = 0.1 + 0.35 * _uniform((num, 1), generator)
    right = 0.55 + 0.35 * _uniform((num, 1), generator)
    rise = torch.tanh((x / extent - left) / _WINDOW_WIDTH)
    fall = torch.tanh((x / extent - right) / _WINDOW_WIDTH)
    return torch.where(is_windowed, u * (rise - fall) / 2, u)[:, None]


def clean(num: int, num_cells: int, extent: float, generator: Generator) -> Float[Tensor, "batch 1 cell"]:
    """Return exactly periodic, smooth, zero-mean frames: u = sum_{m=1..4} A_m sin(2 pi m x / extent + phase_m).

    A_m is uniform in [0, 1], the phases in [0, 2 pi].
    """
    x = _centers(num_cells, extent)
    modes = torch.arange(1, _HIGHEST + 1, dtype=torch.float64)
    amplitude = _uniform((num, _HIGHEST, 1), generator)
    phase = 2 * math.pi * _uniform((num, _HIGHEST, 1), generator)
    waves = amplitude * torch.sin(2 * math.pi / extent * modes[:, None] * x + phase)
    return waves.sum(1, keepdim=True)


def waves(num: int, grid: Grid, generator: Generator) -> Float[Tensor, "batch 1 *grid"]:
    """Return smooth, zero-mean frames on any grid, which continue evenly through its walls.

    u = sum_m A_m prod_i w_i(x_i) over all m of 0..4 waves an axis but (0, ..., 0), with A_m uniform in
    [-1, 1] / |m|, w = cos(2 pi m x / extent + phase) on a periodic axis, and cos(pi m x / extent) between walls.
    """
    frames = torch.zeros(num, 1, *grid.shape, dtype=torch.float64)
    for numbers in product(range(_HIGHEST + 1), repeat=len(grid)):
        if not any(numbers):
            continue
        size = (2 * _uniform((num, 1, *(1,) * len(grid)), generator) - 1) / math.hypot(*numbers)
        phase = 2 * math.pi * _uniform((num, len(grid), 1), generator)
        for place, (number, axis) in enumerate(zip(numbers, grid.axes, strict=True)):
            x = _centers(axis.cells, axis.extent) / axis.extent
            angle = 2 * math.pi * number * x + phase[:, place] if axis.is_periodic else math.pi * number * x
            shape = [1] * len(grid)
            shape[place] = axis.cells
            size = size * angle.cos().reshape(-1, 1, *shape)
        frames += size
    return frames


def gaussian_field(
    num: int, grid: Grid, generator: Generator, decay: float = 2.5, inverse_length: float = 7.0
) -> Float[Tensor, "batch 1 *grid"]:
    """Return zero-mean Gaussian fields of the covariance 2 l^(2 a - n) (l^2 - lap)^-a, as FNO's code draws them.

    a is `decay`, l `inverse_length`, n the number of axes; between walls the field continues evenly. (The paper
    writes the covariance without the 2, which the code's factor sqrt(2) before complex numbers of variance 2 adds.)
    Source: Li et al., Fourier Neural Operator, arXiv:2010.08895, appendix A.3.3, and its `random_fields.py`.
    """
    modes = Modes(grid)
    power = 2 * inverse_length ** (2 * decay - len(grid)) * (modes.squared() + inverse_length**2) ** -decay
    power[(0,) * len(grid)] = 0
    white = torch.randn(num, 1, *grid.shape, generator=generator, dtype=torch.float64)
    return modes.back(modes.forth(white) * (power * math.prod(grid.shape) / math.prod(grid.extent)).sqrt())


def pdebench_noise(
    rows: range, grid: Grid, solver: Grid | None = None
) -> Float[Tensor, "batch 2 *solver_grid"]:
    """Return white noise of two fields, one normal number a cell: row k is what PDEBench draws for its seed k.

    On a finer grid of a solver it is constant over each cell of the grid.
    Source: Takamoto et al., PDEBench, arXiv:2210.07182, appendix D (2D diffusion-reaction).
    """
    drawn = np.stack([np.random.default_rng(row).standard_normal((2, *grid.shape)) for row in rows])
    frames = torch.from_numpy(drawn)
    for place, (cells, fine) in enumerate(zip(grid.shape, (solver or grid).shape, strict=True), 2):
        frames = frames.repeat_interleave(fine // cells, place)
    return frames


def seeds(num: int, grid: Grid, generator: Generator, count: int = 10) -> Float[Tensor, "batch 2 *grid"]:
    """Return u = 1 - s / 2 and v = s / 4 with bumps s of height 1 at random places, where Gray-Scott patterns begin.

    1 - s is the product of 1 - g over `count` Gaussians g of a width uniform in [.04, .08] of the first side.
    """
    left = torch.ones(num, 1, *grid.shape, dtype=torch.float64)
    for _ in range(count):
        width = (0.04 + 0.04 * _uniform((num, 1, *(1,) * len(grid)), generator)) * grid.extent[0]
        squared = torch.zeros_like(left)
        for place, axis in enumerate(grid.axes):
            shape = [1] * len(grid)
            shape[place] = axis.cells
            centre = axis.origin + axis.extent * _uniform((num, 1, *(1,) * len(grid)), generator)
            distance = (axis.centres().reshape(shape) - centre).abs()
            if axis.is_periodic:
                distance = torch.minimum(distance, axis.extent - distance)
            squared = squared + distance**2
        left = left * (1 - torch.exp(-squared / (2 * width**2)))
    return torch.cat([(1 + left) / 2, (1 - left) / 4], 1)


def _centers(num_cells: int, extent: float) -> Float[Tensor, "cell"]:
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * (extent / num_cells)


def _uniform(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)
