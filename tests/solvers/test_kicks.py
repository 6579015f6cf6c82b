import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from lines import on_line
from ups.solvers.equations import Burgers, Heat, Vorticity
from ups.solvers.initial import clean
from ups.solvers.kicks import Kicked, Kicks
from ups.solvers.solve import solve
from ups.solvers.stepper import Coarse
from ups.streams import stream
from ups.types import Axis, Field, Fields, Grid, Stepper, line

NUM = 3000
FIELDS = on_line(names=("u",), units=("1",), extent=1.0, dt=0.05, params=("nu",), cells=96)
PARAMS = torch.tensor([[0.01], [0.1]])


def context(num_cells=96):
    return clean(2, num_cells, 1.0, stream(0, "kicked"))[:, None].float()


def shape_of(kicks, extent):
    """Return place, width, size and sign of bumps from their moments, on a grid that resolves them."""
    dx = extent / kicks.shape[1]
    angle = 2 * math.pi * (torch.arange(kicks.shape[1]) + 0.5) / kicks.shape[1]
    waves = torch.stack([kicks.abs() @ angle.sin().double(), kicks.abs() @ angle.cos().double()])
    place = extent * torch.atan2(*waves) / (2 * math.pi) % extent
    area, square = kicks.abs().sum(1) * dx, kicks.square().sum(1) * dx
    size = math.sqrt(2) * square / area
    return place, area / (math.sqrt(2 * math.pi) * size), size, kicks.sum(1).sign()


def test_the_mean_kick_is_zero_and_its_mean_square_is_that_of_the_bumps():
    kicks = Kicks().kick(NUM, line(64, 2.0), stream(1, "kicks"))
    z = kicks.mean(0) / kicks.std(0) * math.sqrt(NUM)
    assert z.abs().max() < 4
    squares = kicks.square().mean(1)
    expected = (0.8**3 - 0.3**3) / (3 * 0.5) * 0.04 * math.sqrt(math.pi) / 2.0
    assert abs(squares.mean() - expected) < 4 * squares.std() / math.sqrt(NUM) + 0.01 * expected


def test_place_width_and_size_are_uniform_the_sign_is_a_fair_coin_and_all_are_independent():
    law = Kicks(size=(1.0, 3.0), width=(0.05, 0.1))
    place, width, size, sign = shape_of(law.kick(NUM, line(512, 3.0), stream(2, "kicks")), 3.0)
    for found, low, high in ((place, 0.0, 3.0), (width, 0.05, 0.1), (size, 1.0, 3.0)):
        assert stats.kstest(((found - low) / (high - low)).numpy(), "uniform").pvalue > 1e-3
    assert stats.binomtest(int((sign > 0).sum()), NUM).pvalue > 1e-3
    correlation = torch.corrcoef(torch.stack([place, width, size, sign])) - torch.eye(4)
    assert correlation.abs().max() < 4 / math.sqrt(NUM)


def test_two_grids_see_the_same_kick():
    coarse, fine = (Kicks().kick(200, line(num_cells, 1.0), stream(3, "kicks")) for num_cells in (48, 240))
    torch.testing.assert_close(fine.unflatten(1, (48, 5)).mean(2), coarse, rtol=0, atol=1e-13)


@pytest.mark.parametrize("width", [0.02, 0.125])
def test_a_kick_is_the_sum_of_the_images_of_a_bump_wherever_it_stands(width):
    kicks = Kicks(size=(1.0, 1.0), width=(width, width)).kick(50, line(2048, 1.0), stream(4, "kicks"))
    distance = torch.arange(2048, dtype=torch.float64) / 2048 + 0.5 / 2048 - shape_of(kicks, 1.0)[0][:, None]
    images = sum(torch.exp(-((distance + image) ** 2) / (2 * width**2)) for image in range(-4, 5))
    torch.testing.assert_close(kicks.abs(), images, rtol=0, atol=1e-4)
    area = torch.full((50,), width * math.sqrt(2 * math.pi), dtype=torch.float64)
    torch.testing.assert_close(kicks.mean(1).abs(), area, rtol=0, atol=1e-14)


def test_kicked_is_a_stepper_that_wants_a_generator():
    stepper = Kicked(Coarse(Burgers, FIELDS, 96), Kicks())
    assert isinstance(stepper, Stepper)
    with pytest.raises(ValueError, match="generator"):
        stepper.advance(stepper.encode(context(), PARAMS))


@pytest.mark.parametrize("num_cells", [48, 96])
def test_without_size_it_is_the_solver_to_the_last_bit(num_cells):
    solver = Coarse(Burgers, FIELDS, num_cells)
    kicked = Kicked(solver, Kicks(size=(0.0, 0.0)))
    state = still = solver.encode(context(), PARAMS)
    assert torch.equal(kicked.encode(context(), PARAMS).averages, still.averages)
    generator = stream(5, "kicks")
    for _ in range(3):
        state, still = kicked.advance(state, generator), solver.advance(still)
    assert torch.equal(state.averages, still.averages)
    assert torch.equal(kicked.decode(state), solver.decode(still))


def test_the_kick_comes_before_the_frame_is_solved():
    stepper = Kicked(Coarse(Heat, FIELDS, 96), Kicks())
    frame = stepper.decode(stepper.advance(stepper.encode(context(), PARAMS), stream(6, "kicks")))
    kick = Kicks().kick(2, line(96, 1.0), stream(6, "kicks"))[:, None]
    after = solve(Heat(PARAMS[:, 0]), context()[:, 0] + kick, torch.tensor([0.0, 0.05]), 1.0)[:, 1]
    torch.testing.assert_close(frame, after.float(), rtol=0, atol=1e-6)
    assert (after - kick - context()[:, 0]).abs().max() > 0.05


def test_the_mean_changes_by_that_of_the_kick_and_by_nothing_else():
    fields = replace(FIELDS, grid=line(96, 2.0))
    stepper = Kicked(Coarse(Burgers, fields, 96), Kicks())
    before = stepper.encode(context(), PARAMS)
    after = stepper.advance(before, stream(7, "kicks"))
    kick = Kicks().kick(2, line(96, 2.0), stream(7, "kicks"))
    gained = (after.averages.mean(2) - before.averages.mean(2))[:, 0]
    torch.testing.assert_close(gained, kick.mean(1), rtol=0, atol=1e-14)
    assert gained.abs().min() > 0.3 * 0.02 * math.sqrt(2 * math.pi) / 2


def test_every_row_and_every_frame_is_kicked_anew():
    stepper = Kicked(Coarse(Heat, FIELDS, 96), Kicks())
    generator = stream(8, "kicks")
    states = [stepper.encode(torch.zeros(2, 1, 1, 96), PARAMS)]
    for _ in range(2):
        states.append(stepper.advance(states[-1], generator))
    gained = torch.stack([state.averages.mean(2) for state in states]).diff(dim=0).flatten()
    assert len(set(gained.tolist())) == 4


PLANE = Grid((Axis("x", 24, 1.0), Axis("y", 30, 1.5)))


def test_on_a_plane_a_kick_is_a_round_bump_and_its_images_averaged_over_cells():
    law = Kicks(size=(2.0, 2.0), width=(0.1, 0.1))
    kick = law.kick(20, PLANE.resized(120, 180), stream(9, "kicks")).abs()
    # draws in the order place, width, size, sign, then the places along the other axes
    draws = torch.rand(20, 5, generator=stream(9, "kicks"), dtype=torch.float64)
    x, y = (
        (torch.arange(n, dtype=torch.float64) + 0.5) / n * length for n, length in ((120, 1.0), (180, 1.5))
    )
    lines = [
        sum(torch.exp(-((z - (draws[:, k] + image)[:, None] * length) ** 2) / 0.02) for image in (-1, 0, 1))
        for z, k, length in ((x, 0, 1.0), (y, 4, 1.5))
    ]
    torch.testing.assert_close(kick, 2 * lines[0][:, :, None] * lines[1][:, None], rtol=0, atol=2e-3)
    coarse = law.kick(20, PLANE, stream(9, "kicks")).abs()
    torch.testing.assert_close(
        kick.unflatten(2, (30, 6)).unflatten(1, (24, 5)).mean((2, 4)), coarse, rtol=0, atol=1e-13
    )


def test_a_balanced_kick_is_the_same_without_its_mean():
    plain, balanced = (Kicks(balanced=b).kick(40, PLANE, stream(3, "kicks")) for b in (False, True))
    assert balanced.mean((1, 2)).abs().max() < 1e-15
    torch.testing.assert_close(
        plain - balanced, plain.mean((1, 2), keepdim=True).expand_as(plain), rtol=0, atol=1e-15
    )


def test_a_flow_is_kicked_before_it_moves_and_keeps_its_mean():
    fields = Fields(
        (Field("vorticity", conserved=True),),
        Grid((Axis("x", 24, 1.0), Axis("y", 24, 1.0))),
        0.5,
        ("nu", "strength"),
    )
    stepper = Kicked(Coarse(Vorticity, fields, 24), Kicks(width=(0.08, 0.12), balanced=True))
    params = torch.tensor([[0.01, 0.0], [0.002, 0.1]])
    first = torch.randn(2, 1, 1, 24, 24, generator=stream(0, "first"))
    first = first - first.mean((3, 4), keepdim=True)
    after = stepper.advance(stepper.encode(first, params), stream(6, "kicks"))
    kick = stepper.kicks.kick(2, fields.grid, stream(6, "kicks"))[:, None]
    alone = stepper.solver.advance(stepper.solver.encode(first + kick[:, None].float(), params))
    torch.testing.assert_close(after.averages, alone.averages, rtol=0, atol=1e-5)
    assert after.averages.mean((2, 3)).abs().max() < 1e-7
