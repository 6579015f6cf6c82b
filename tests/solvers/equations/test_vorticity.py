import math

import pytest
import torch

from ups.solvers.equations.vorticity import Vorticity, advection
from ups.solvers.initial import gaussian_field
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.types import WALL, Axis, Grid, UserError, line


def plane(x=32, y=32, extent=(1.0, 1.0)):
    return Grid((Axis("x", x, extent[0]), Axis("y", y, extent[1])))


def waves_of(grid):
    return [2 * math.pi * axis.centres() / axis.extent for axis in grid.axes]


def test_taylor_and_green_s_vortices_decay_and_do_nothing_else():
    grid, nu = plane(24, 36, (1.0, 1.5)), 0.01
    x, y = waves_of(grid)
    vortices = (x.cos()[:, None] * y.cos())[None]
    result = Vorticity(nu, 0.0).propagator(1.0, grid)(vortices)
    rate = nu * (2 * math.pi) ** 2 * (1 + 1 / 1.5**2)
    torch.testing.assert_close(result, vortices * math.exp(-rate), rtol=0, atol=1e-12)


def test_what_the_forcing_stirs_from_rest_is_its_own_wave():
    grid, nu, strength = plane(), 0.02, 0.1
    x, y = waves_of(grid)
    s = x[:, None] + y
    result = Vorticity(nu, strength).propagator(3.0, grid)(torch.zeros(1, *grid.shape, dtype=torch.float64))
    rate = nu * 2 * (2 * math.pi) ** 2
    grown = strength * (1 - math.exp(-3 * rate)) / rate
    torch.testing.assert_close(result[0], grown * (s.sin() + s.cos()), rtol=0, atol=1e-10)


def test_a_shear_flow_carries_small_vorticity_with_it():
    """w = sin y makes the flow c_x = -cos y: at first a small wave in x moves along its line at that speed."""
    grid, small = plane(64, 64, (2 * math.pi,) * 2), 1e-6
    x, y = (axis.centres() for axis in grid.axes)
    shear, wave = y.sin().expand(64, 64), small * (2 * x).cos()[:, None].expand(64, 64)
    rate = -advection(Modes(grid))(torch.fft.rfft2(shear + wave))
    change = torch.fft.irfft2(rate, s=grid.shape)
    # -c_x d_x w' - c'_y d_y w, with psi = sin y + w'/4 and c = (psi_y, -psi_x)
    slope = small * -2 * (2 * x).sin()[:, None]
    expected = -y.cos() * slope + slope / 4 * y.cos()
    torch.testing.assert_close(change, expected.expand(64, 64), rtol=0, atol=1e-14)


def test_without_viscosity_energy_and_enstrophy_stay():
    grid = plane(48, 48)
    modes = Modes(grid)
    squared = modes.squared()
    frames = [gaussian_field(2, grid, stream(1, "vorticity"))[:, 0] * 4]
    frames[0] = modes.back(modes.forth(frames[0]) * modes.kept(2))
    frames.append(Vorticity(0.0, 0.0).propagator(2.0, grid)(frames[0]))
    assert (frames[1] - frames[0]).norm() > 0.3 * frames[0].norm()
    for weight in (torch.ones_like(squared), torch.where(squared > 0, 1 / squared.clamp(min=1e-9), 0.0)):
        before, after = (
            torch.fft.irfft2(modes.forth(w) * weight.sqrt(), s=grid.shape).square().mean((1, 2))
            for w in frames
        )
        torch.testing.assert_close(after, before, rtol=1e-4, atol=0)


def test_the_error_falls_faster_than_any_power_of_the_cells():
    start = gaussian_field(1, plane(128, 128), stream(2, "vorticity"))
    modes = Modes(plane(128, 128))
    start = modes.back(modes.forth(start[:, 0]) * torch.exp(-modes.squared() / (2 * math.pi * 5) ** 2))

    def solved(cells):  # the first cell's centre stays where it is
        stride = 128 // cells
        return Vorticity(5e-3, 0.0).propagator(1.0, plane(cells, cells))(start[:, ::stride, ::stride])

    truth = solved(128)
    errors = [(solved(n) - truth[:, :: 128 // n, :: 128 // n]).abs().max().item() for n in (8, 16, 32)]
    assert errors[1] < errors[0] / 100, errors
    assert errors[2] < errors[1] / 1000, errors


def test_rows_of_other_parameters_are_solved_as_alone():
    grid = plane()
    start = gaussian_field(3, grid, stream(3, "vorticity"))[:, 0]
    nu, strength = torch.tensor([1e-2, 1e-3, 5e-3]), torch.tensor([0.0, 0.1, 1.0])
    together = Vorticity(nu, strength).propagator(0.5, grid)(start)
    for row in range(3):
        alone = Vorticity(nu[row].item(), strength[row].item()).propagator(0.5, grid)(start[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-8)


def test_a_line_or_a_wall_is_refused():
    walled = Grid((Axis("x", 8, 1.0), Axis("y", 8, 1.0, low=WALL, high=WALL)))
    for grid in (line(8), walled):
        with pytest.raises(UserError, match="needs a periodic plane"):
            Vorticity(0.1, 0.0).propagator(0.1, grid)
