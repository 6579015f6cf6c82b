import math

import pytest
import torch
from scipy.integrate import solve_ivp

from equation_cases import PLANES
from ups.solvers.equations.gray_scott import DIFFUSION, GrayScott
from ups.solvers.initial import seeds
from ups.streams import stream
from ups.types import Axis, Grid


def plane(cells, extent=64.0):
    return Grid(tuple(Axis(name, cells, extent) for name in "xy"))


def test_uniform_states_follow_the_reaction():
    feed, kill, start = 0.03, 0.06, (0.6, 0.3)

    def reaction(_, state):
        u, v = state
        return [-u * v**2 + feed * (1 - u), u * v**2 - (feed + kill) * v]

    truth = solve_ivp(reaction, (0, 40.0), start, rtol=1e-10, atol=1e-12).y[:, -1]
    frames = torch.tensor(start, dtype=torch.float64).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    result = GrayScott(feed, kill).propagator(40.0, plane(8))(frames)
    expected = torch.tensor(truth).reshape(2, 1, 1, 1).expand_as(result)
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)


def test_small_waves_around_the_fed_state_decay_each_at_its_own_rate():
    """At u = 1, v = 0 the reaction is linear: u decays as F + D_u k^2, v as F + k + D_v k^2."""
    grid, feed, kill, time = plane(16), 0.02, 0.05, 5.0
    x = 2 * math.pi * grid.axes[0].centres() / 64
    for mode in (0, 1, 3):
        wave = 1e-6 * (mode * x).cos()[:, None].expand(16, 16)
        frames = torch.stack([1 + wave, wave])[:, None]
        u, v = GrayScott(feed, kill).propagator(time, grid)(frames)
        k2 = (2 * math.pi * mode / 64) ** 2
        decays = [
            math.exp(-(rate + d * k2) * time) for rate, d in zip((feed, feed + kill), DIFFUSION, strict=True)
        ]
        torch.testing.assert_close(u[0] - 1, wave * decays[0], rtol=0, atol=1e-11)
        torch.testing.assert_close(v[0], wave * decays[1], rtol=0, atol=1e-11)


def test_spots_divide_on_fine_grids_alike():
    start = seeds(2, plane(192), stream(1, "seeds"))

    def solved(cells):
        stride = 192 // cells
        grid = plane(cells)
        return GrayScott(0.037, 0.06).propagator(100.0, grid)(start[:, :, ::stride, ::stride].transpose(0, 1))

    truth = solved(192)
    errors = [((solved(n) - truth[..., :: 192 // n, :: 192 // n]).abs().max()).item() for n in (48, 96)]
    assert errors[1] < 1e-4, errors
    assert errors[1] < errors[0] / 100, errors
    assert truth[1].amax() > 0.2  # the reaction lives


@pytest.mark.parametrize("grid", PLANES, ids=["periodic", "x walled", "y walled", "walled"])
def test_between_walls_it_does_what_it_does_to_the_periodic_double(grid):
    frames = 0.2 + 0.3 * torch.rand(2, 3, *grid.shape, generator=stream(2, "walls"), dtype=torch.float64)
    double, axes = frames, []
    for place, axis in enumerate(grid.axes):
        if axis.is_periodic:
            axes.append(axis)
        else:
            double = torch.cat([double, double.flip(place + 2)], place + 2)
            axes.append(Axis(axis.name, 2 * axis.cells, 2 * axis.extent))
    equation = GrayScott(torch.tensor([0.02, 0.03, 0.04]), 0.06)
    whole = equation.propagator(2.0, Grid(tuple(axes)))(double)[..., : grid.shape[0], : grid.shape[1]]
    torch.testing.assert_close(equation.propagator(2.0, grid)(frames), whole, rtol=0, atol=1e-12)
