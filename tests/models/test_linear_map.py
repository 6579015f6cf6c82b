import math

import pytest
import torch

from ups.models.linear_map import LinearMap
from ups.solvers.equations import Advection, Heat, Vorticity
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.types import WALL, Axis, Grid, line

ENDS = {"low": WALL, "high": WALL}
GRIDS = {
    "line": line(32),
    "walls": Grid((Axis("x", 20, 1.0, **ENDS),)),
    "channel": Grid((Axis("x", 12, 1.0), Axis("y", 10, 0.8, **ENDS))),
    "plane": Grid((Axis("x", 12, 1.0), Axis("y", 16, 1.5))),
}


def frames(grid, num=40, fields=1, seed=0):
    """Random fields of a few long waves, with a mean."""
    white = torch.randn(num, fields, *grid.shape, generator=stream(seed, "frames"), dtype=torch.float64)
    modes = Modes(grid)
    return 0.3 + modes.back(modes.forth(white) * torch.exp(-modes.squared() / 800))


def fitted(grid, before, after, params=None, moves=(True,)):
    params = torch.zeros(len(before), 1) if params is None else params
    made = LinearMap(Modes(grid), before.shape[1], params.shape[1])
    made.fit(before, after, params, torch.tensor(moves))
    return made


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_of_heat_it_is_the_solution(grid):
    step = Heat(torch.tensor([0.01], dtype=torch.float64)).propagator(0.1, grid)
    before, fresh = frames(grid), frames(grid, seed=1)
    made = fitted(grid, before, step(before[:, 0])[:, None], moves=(False,))
    torch.testing.assert_close(made(fresh, torch.zeros(40, 1)), step(fresh[:, 0])[:, None], rtol=0, atol=5e-5)
    assert (made(fresh, torch.zeros(40, 1)) - fresh).flatten(2).mean(2).abs().max() < 1e-6


def test_it_knows_the_parameters_that_it_is_told():
    """A speed of one or two cells a frame: two maps in one, exact at both."""
    grid = line(32)
    speed = torch.tensor([1.0, 2.0]).repeat(20)

    def step(u):
        return torch.stack([row.roll(int(s), -1) for row, s in zip(u, speed, strict=True)])

    before, fresh = frames(grid), frames(grid, seed=1)
    params = (2 * speed - 3)[:, None]
    made = fitted(grid, before, step(before), params)
    torch.testing.assert_close(made(fresh, params), step(fresh), rtol=0, atol=5e-5)
    blind = fitted(grid, before, step(before))
    assert (blind(fresh, params) - step(fresh)).abs().max() > 0.1


def test_two_fields_turn_into_each_other():
    grid, angle = line(16), 0.3
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
    before, fresh = frames(grid, fields=2), frames(grid, fields=2, seed=1)
    made = fitted(grid, before, torch.einsum("fg,bgx->bfx", turn, before), moves=(True, True))
    expected = torch.einsum("fg,bgx->bfx", turn, fresh)
    torch.testing.assert_close(made(fresh, torch.zeros(40, 1)), expected, rtol=0, atol=5e-5)


def test_a_forcing_that_has_a_place_is_found_where_there_is_one():
    grid = line(32)
    wave = torch.sin(2 * math.pi * grid.axes[0].centres())
    before, fresh = frames(grid), frames(grid, seed=1)
    made = fitted(grid, before, 0.9 * before + 0.1 * wave + 0.05)
    torch.testing.assert_close(
        made(fresh, torch.zeros(40, 1)), 0.9 * fresh + 0.1 * wave + 0.05, rtol=0, atol=1e-5
    )
    noisy = 0.9 * before + 0.1 * torch.randn(before.shape, generator=stream(0, "noise"))
    still = fitted(grid, before, noisy)
    shifted = still(fresh.roll(5, -1), torch.zeros(40, 1)).roll(-5, -1)
    torch.testing.assert_close(shifted, still(fresh, torch.zeros(40, 1)), rtol=0, atol=1e-6)


def test_waves_that_no_frame_has_stay_as_they_are():
    grid = line(32)
    before = frames(grid)
    modes = Modes(grid)
    spectrum = modes.forth(before)
    spectrum[..., 8:] = 0
    before = modes.back(spectrum)
    made = fitted(grid, before, before.roll(1, -1))
    short = torch.cos(2 * math.pi * 12 * grid.axes[0].centres()).expand(3, 1, -1)
    torch.testing.assert_close(made(short, torch.zeros(3, 1)), short, rtol=0, atol=1e-6)


def test_of_a_flow_it_leaves_what_is_not_linear_and_is_better_than_nothing():
    grid = Grid((Axis("x", 16, 1.0), Axis("y", 16, 1.0)))
    equation = Vorticity(nu=torch.tensor([0.005]).double(), strength=torch.tensor([0.0]).double())
    step = equation.propagator(0.2, grid)
    before, fresh = (20 * (frames(grid, 60, seed=seed) - 0.3) for seed in (0, 1))
    after = step(before[:, 0])[:, None]
    made = fitted(grid, before, after, moves=(False,))
    left = (made(fresh, torch.zeros(60, 1)) - step(fresh[:, 0])[:, None]).square().mean()
    change = (fresh - step(fresh[:, 0])[:, None]).square().mean()
    assert 0.01 < left / change < 0.9


def test_the_advection_of_a_wave_is_a_turn_of_its_phase():
    grid = line(32)
    step = Advection(torch.tensor([0.7]).double()).propagator(0.1, grid)
    before = frames(grid)
    made = fitted(grid, before, step(before[:, 0])[:, None])
    factor = 1 + torch.view_as_complex(made.matrix)[:6, 0, 0]
    expected = torch.exp(-2j * math.pi * torch.arange(6) * 0.07)
    torch.testing.assert_close(factor, expected.to(factor), rtol=0, atol=1e-4)
