import math

import pytest
import torch

from ups.models.law_terms import CARRIED, WAVE, is_forcing, library, symbols, wave_frame
from ups.solvers.modes import Modes
from ups.types import WALL, Axis, Field, Fields, Grid, line

PLANE = Grid((Axis("x", 12, 1.0), Axis("y", 10, 0.8, -0.4)))
CHANNEL = Grid((Axis("x", 12, 1.0), Axis("y", 10, 0.8, -0.4, WALL, WALL)))


def of(grid, count=1):
    return Fields(tuple(Field(f"u{index}") for index in range(count)), grid, 1.0)


def carried(fields):
    return [(term.field, *term.factor[1:]) for term in library(fields) if term.factor[:1] == (CARRIED,)]


def test_in_a_periodic_plane_each_of_two_fields_may_carry_both():
    assert carried(of(PLANE)) == [(0, 0, 0)]
    assert carried(of(PLANE, 2)) == [(0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1)]
    for fields in (of(PLANE, 3), of(CHANNEL), of(line(8))):
        assert not carried(fields)


@pytest.mark.parametrize("grid", [line(32), PLANE, CHANNEL, Grid((Axis("x", 12, 1.0, 0.0, WALL, WALL),))])
def test_the_waves_of_a_forcing_are_orthogonal_to_each_other_and_to_a_constant(grid):
    factors = [term.factor for term in library(of(grid)) if is_forcing(term)]
    frames = torch.stack([wave_frame(factor, grid) for factor in factors]).flatten(1)
    frames = torch.cat([frames, torch.ones_like(frames[:1])])
    gram = frames @ frames.T
    assert (gram - gram.diag().diag()).abs().max() < 1e-10
    per_axis = [9 if axis.is_periodic else 5 for axis in grid.axes]
    assert len(factors) == math.prod(per_axis) - 1


def test_a_wave_is_what_its_numbers_say_in_the_coordinates_of_the_grid():
    x, y = (axis.centres() for axis in PLANE.axes)
    expected = (2 * math.pi * (2 * x[:, None] - y / 0.8)).sin()
    torch.testing.assert_close(wave_frame((WAVE, 1, 2, -1), PLANE), expected)
    expected = (2 * math.pi * x).cos()[:, None] * (3 * math.pi * (y + 0.4) / 0.8).cos()
    torch.testing.assert_close(wave_frame((WAVE, 0, 1, 3), CHANNEL), expected)


def test_differences_between_cells_tend_to_derivatives_of_waves():
    for grid in (PLANE, CHANNEL):
        gaps = []
        for factor in (4, 8):
            modes = Modes(grid.resized(12 * factor, 10 * factor))
            waves, cells = symbols(modes), symbols(modes, on_cells=True)
            gaps.append({name: (waves[name] - cells[name])[:3, :3].abs().max().item() for name in waves})
        for name in ("laplacian", "bilaplacian", "d0", "ddd0"):
            assert 3.5 < gaps[0][name] / gaps[1][name] < 4.5, name
        assert gaps[0]["1"] == gaps[0]["mean"] == 0
