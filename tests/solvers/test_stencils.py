import itertools
import math

import pytest
import torch

from equation_cases import PLANES
from ups.solvers.modes import Modes
from ups.solvers.stencils import laplacian


@pytest.mark.parametrize("grid", PLANES, ids=["periodic", "x walled", "y walled", "walled"])
def test_second_differences_are_their_symbol_in_waves(grid):
    frame = torch.rand(2, 3, *grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    modes = Modes(grid)
    in_waves = modes.back(-modes.stencil() * modes.forth(frame))
    torch.testing.assert_close(laplacian(frame, grid), in_waves, rtol=0, atol=1e-9)
    assert laplacian(frame, grid).sum((-2, -1)).abs().max() < 1e-8  # nothing flows out


def test_they_are_second_order_and_the_symbol_is_below_that_of_the_laplacian():
    modes = Modes(PLANES[3].resized(32, 32))
    assert (modes.stencil() <= modes.squared() + 1e-9).all()
    x = (PLANES[3].axes[0].extent / math.pi) ** -1
    errors = []
    for cells in (16, 32, 64):
        grid = PLANES[3].resized(cells, 8)
        wave = torch.cos(2 * x * grid.axes[0].centres())[None, :, None].expand(1, cells, 8)
        errors.append((laplacian(wave, grid) + 4 * x**2 * wave).abs().max().item())
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 1.9, orders
