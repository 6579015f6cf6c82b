import math

import torch

from equation_cases import EXTENT, PLANES, N, centers
from ups.solvers.equations.heat import Heat
from ups.types import WALL, Axis, Grid, line


def test_heat_decays_every_mode_at_its_exact_rate():
    for mode in (1, 5, 20):
        u0 = torch.sin(2 * math.pi * mode / EXTENT * centers())[None]
        result = Heat(0.02).propagator(0.3, line(N, EXTENT))(u0)
        rate = 0.02 * (2 * math.pi * mode / EXTENT) ** 2
        torch.testing.assert_close(result, u0 * math.exp(-rate * 0.3), rtol=0, atol=1e-14)


def test_heat_decays_every_wave_of_a_plane_and_of_a_box_at_its_exact_rate():
    for grid in [
        *PLANES,
        Grid((Axis("x", 10, 1.0), Axis("y", 8, 2.0, low=WALL, high=WALL), Axis("z", 6, 3.0))),
    ]:
        u0, squared = torch.ones(1, *grid.shape, dtype=torch.float64), 0.0
        for place, axis in enumerate(grid.axes):
            k = (2 if axis.is_periodic else 1) * math.pi * (place + 1) / axis.extent
            shape = [1] * len(grid)
            shape[place] = -1
            u0 = u0 * torch.cos(k * centers(axis.cells, axis.extent)).reshape(shape)
            squared += k**2
        result = Heat(0.02).propagator(0.3, grid)(u0)
        torch.testing.assert_close(result, u0 * math.exp(-0.02 * squared * 0.3), rtol=0, atol=1e-14)
