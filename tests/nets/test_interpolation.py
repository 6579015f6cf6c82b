import math

import pytest
import torch

from ups.nets.interpolation import interpolate_periodic
from ups.streams import stream


def error(num_cells):
    centres = (torch.arange(num_cells, dtype=torch.float64) + 0.5) / num_cells
    points = torch.linspace(-0.3, 1.7, 101, dtype=torch.float64)
    values = torch.sin(2 * math.pi * centres) + torch.cos(6 * math.pi * centres)
    truth = torch.sin(2 * math.pi * points) + torch.cos(6 * math.pi * points)
    found = interpolate_periodic(values[None, None], (points * num_cells - 0.5)[None])
    return (found - truth).abs().max().item()


def test_the_error_falls_with_the_fourth_power_of_the_cell_size():
    assert math.log2(error(64) / error(128)) == pytest.approx(4, abs=0.15)


def test_it_is_exact_at_the_centres_wherever_they_repeat():
    values = torch.randn(2, 3, 8, generator=stream(0, "v"))
    centres = torch.arange(8.0).expand(2, -1)
    assert torch.equal(interpolate_periodic(values, centres), values)
    assert torch.equal(interpolate_periodic(values, centres - 16), values)


def test_it_reproduces_cubics_away_from_the_seam():
    i, p = torch.arange(10, dtype=torch.float64), torch.tensor([[2.3, 4.5, 6.9]], dtype=torch.float64)
    found = interpolate_periodic((i**3 - 5 * i)[None, None], p)
    torch.testing.assert_close(found[0], p**3 - 5 * p)
