import math

import pytest
import torch

from equation_cases import PLANES
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.types import OPEN, Axis, Grid, UserError, line

GRIDS = [line(9, 2.0), line(8), *PLANES, Grid((*PLANES[1].axes, Axis("z", 5, 1.0)))]
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid} {grid.walls}")


def grid(num_cells, extent):
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * extent / num_cells


def noise(grid, num=3):
    return torch.randn(num, *grid.shape, generator=stream(0, "noise"), dtype=torch.float64)


@each_grid
def test_there_and_back_is_nothing(grid):
    modes, u = Modes(grid), noise(grid)
    torch.testing.assert_close(modes.back(modes.forth(u)), u)
    assert modes.forth(u).shape[1:] == modes.mode_shape


@each_grid
def test_its_symbols_differentiate_waves_of_every_axis(grid):
    modes = Modes(grid)
    for place, axis in enumerate(grid.axes):
        x = axis.centres().reshape(-1, *(1,) * (len(grid) - 1 - place))
        k = 2 * (1 if axis.is_periodic else 0.5) * math.pi * 2 / axis.extent
        u = torch.cos(k * x).expand(1, *grid.shape)
        torch.testing.assert_close(modes.back(modes.squared() * modes.forth(u)), k**2 * u)
        slope = modes.back_whole(modes.derivative(place) * modes.forth(u))
        cut = tuple(slice(0, cells) for cells in grid.shape)
        torch.testing.assert_close(slope[:, *cut], (-k * torch.sin(k * x)).expand_as(u), rtol=0, atol=1e-11)


def test_products_of_a_plane_fold_nothing_back():
    """The square of the shortest waves that are kept, along both axes, against a grid three times as fine."""
    for plane in PLANES:
        fine = plane.resized(*(3 * cells for cells in plane.shape))
        coarse, exact = Modes(plane), Modes(fine)
        kept = coarse.kept(2)
        spectrum = coarse.forth(noise(plane)) * kept
        padded = torch.zeros(3, *exact.mode_shape, dtype=spectrum.dtype)
        half = coarse.shape[0] // 2
        padded[:, :half, : coarse.mode_shape[1]] = spectrum[:, :half]
        padded[:, -half:, : coarse.mode_shape[1]] = spectrum[:, -half:]
        ratio = math.prod(exact.shape) / math.prod(coarse.shape)
        square = exact.forth_whole(exact.back_whole(padded * ratio) ** 2) / ratio
        found = coarse.dealiased(spectrum, 2)
        torch.testing.assert_close(found[:, :half], square[:, :half, : coarse.mode_shape[1]] * kept[:half])
        torch.testing.assert_close(found[:, -half:], square[:, -half:, : coarse.mode_shape[1]] * kept[-half:])


def test_the_band_reaches_to_the_last_wave_along_each_axis_that_has_its_share():
    plane = PLANES[1]
    modes = Modes(plane)
    x, y = (axis.centres() / axis.extent for axis in plane.axes)
    u = (
        torch.cos(3 * math.pi * x)[:, None] * torch.cos(4 * math.pi * y)
        + 1e-4 * torch.cos(8 * math.pi * y)
        + 7
    )
    band = modes.band(modes.forth(u[None]).abs().square(), 1e-6)[0]
    rows, columns = band.nonzero().unbind(1)
    assert sorted(set(rows.tolist())) == [*range(4), *range(45, 48)]
    assert columns.max() == 2
    assert modes.band(modes.forth(torch.ones(1, *plane.shape).double()).abs().square(), 1e-6).sum() == 1


def test_open_sides_have_no_modes():
    with pytest.raises(UserError, match=r"periodic or lie between walls.*open"):
        Modes(Grid((Axis("x", 8, 1.0, low=OPEN, high=OPEN),)))


def test_the_square_is_exact_in_the_band_that_is_kept():
    num_cells = 48
    x = grid(num_cells, 1.0)
    u = torch.cos(2 * math.pi * 15 * x)[
        None
    ]  # its square lives in modes 0 and 30; 30 aliases to 18 on this grid
    square = torch.fft.irfft(Modes(line(num_cells)).dealiased(torch.fft.rfft(u), 2), n=num_cells)
    torch.testing.assert_close(square, torch.full_like(u, 0.5), rtol=0, atol=1e-13)


def test_a_cube_keeps_what_the_grid_holds_and_folds_nothing_back():
    x = grid(48, 1.0)
    for mode, expected in (
        (3, 0.75 * torch.cos(6 * math.pi * x) + 0.25 * torch.cos(18 * math.pi * x)),
        (11, 0.75 * torch.cos(22 * math.pi * x)),
    ):  # 33 would fold back to 15
        u = torch.cos(2 * math.pi * mode * x)[None]
        cube = torch.fft.irfft(Modes(line(48)).dealiased(torch.fft.rfft(u), 3), n=48)
        torch.testing.assert_close(cube, expected[None], rtol=0, atol=1e-13)


def test_the_derivative_of_the_nyquist_mode_is_zero_and_of_others_exact():
    x = grid(16, 2.0)
    u = (torch.sin(math.pi * 3 * x) + torch.cos(math.pi * 8 * (x - x[0])))[None]
    result = torch.fft.irfft(torch.fft.rfft(u) * Modes(line(16, 2.0)).derivative(), n=16)
    torch.testing.assert_close(result, (3 * math.pi * torch.cos(math.pi * 3 * x))[None], rtol=0, atol=1e-12)
