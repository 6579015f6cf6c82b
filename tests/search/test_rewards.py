"""Every reward is at its best on exact solutions and falls when these are disturbed."""

import math
from dataclasses import replace

import pytest
import torch

from ups.data.simulated import Simulated
from ups.models.step_residual import of_equation
from ups.search.rewards import Boundaries, available, require
from ups.solvers import exact
from ups.solvers.equations import EQUATIONS
from ups.solvers.resampling import averages_of
from ups.types import WALL, Axis, Boundary, Field, Fields, Grid, UserError, line

NONE = torch.zeros(3, 0)


def fields(grid, *, conserved=True, positive=False):
    return Fields((Field("u", conserved=conserved, positive=positive),), grid, dt=0.05)


def waves(cells, extent=1.0):
    x = line(cells, extent).axes[0].centres() / extent
    rows = [torch.sin(2 * math.pi * (k * x + 0.1 * k)) + 0.5 for k in (1, 2, 3)]
    return torch.stack(rows)[:, None]


def cole_hopf():
    """Viscous Burgers at two times close together, before any front is steep: averages over 256 cells."""
    start = averages_of(waves(256)[:, 0] * 0.2)
    times = torch.tensor([0.1, 0.12])
    frames = exact.burgers(start, times, torch.full((3,), 0.1), 1.0)
    about = Fields((Field("u", conserved=True),), line(256), dt=0.02, params=("nu",))
    return frames[:, :1], frames[:, 1:], torch.full((3, 1), 0.1), about, EQUATIONS["burgers"]


def heat():
    before = waves(64)
    decay = torch.exp(-0.01 * 0.05 * (2 * math.pi * torch.tensor([1.0, 2.0, 3.0])) ** 2)[:, None, None]
    after = 0.5 + (before - 0.5) * decay
    about = replace(fields(line(64)), params=("nu",))
    return before, after, torch.full((3, 1), 0.01), about, EQUATIONS["heat"]


def advection():
    x = line(64).axes[0].centres()
    rows = [lambda s, k=k: torch.sin(2 * math.pi * (k * (x - s) + 0.1 * k)) + 0.5 for k in (1, 2, 3)]
    before, after = (torch.stack([row(shift) for row in rows])[:, None] for shift in (0.0, 0.01))
    about = replace(fields(line(64)), params=("speed",))
    return before, after, torch.full((3, 1), 0.2), about, EQUATIONS["advection"]


@pytest.mark.parametrize("solution", [cole_hopf, heat, advection])
def test_every_reward_is_best_on_the_exact_solution_and_falls_when_it_is_disturbed(solution):
    before, after, params, about, equation = solution()
    rewards = available(about, of_equation(equation, about))
    assert {
        "conservation",
        "energy_decay",
        "energy_balance",
        "maximum_principle",
        "total_variation",
        "residual",
    } == (rewards.keys())
    change = (after - before).square().mean().sqrt().item()
    x = about.grid.axes[0].centres()
    bump = 3 * torch.exp(-(((x - 0.4) / 0.05) ** 2))
    for name, reward in rewards.items():
        best, worse = reward(before, after, params), reward(before, after + bump, params)
        assert best.shape == (3,)
        assert (best <= 0).all()
        tolerance = {"residual": 0.02 * change, "total_variation": 0.02}.get(name, 2e-4)
        assert (best > -tolerance).all(), name
        assert (worse < 5 * best - 1e-4).all(), name


def test_signs_mass_energy_positivity_range():
    before = waves(64)
    about = fields(line(64), positive=True)
    rewards = available(about, None)
    assert rewards["conservation"](before, before + 0.25, NONE).tolist() == pytest.approx([-0.25] * 3)
    assert rewards["conservation"](before, before.roll(5, -1), NONE).tolist() == pytest.approx(
        [0] * 3, abs=1e-12
    )
    gained = ((2 * before) ** 2 - before**2).mean((1, 2)) / 2
    assert torch.allclose(rewards["energy_decay"](before, 2 * before, NONE), -gained)
    assert (rewards["energy_decay"](before, before / 2, NONE) == 0).all()
    assert torch.allclose(rewards["positivity"](before, before, NONE), -(-before).clamp(min=0).mean((1, 2)))
    assert (rewards["positivity"](before, before.abs(), NONE) == 0).all()
    assert (rewards["maximum_principle"](before, before.flip(-1), NONE) == 0).all()
    assert (rewards["maximum_principle"](before, 1.1 * before, NONE) < 0).all()


def test_what_is_not_there_is_not_asked_and_said_in_one_line():
    rewards = available(fields(line(8), conserved=False), None)
    assert {"energy_decay", "maximum_principle", "total_variation"} == rewards.keys()
    for name, said in (("positivity", "declared positive"), ("residual", "neither stated nor read")):
        with pytest.raises(UserError, match=said) as found:
            require({name: 1.0}, rewards)
        assert "\n" not in str(found.value)
    require({"critic": 1.0, "energy_decay": 1.0}, rewards)


@pytest.mark.parametrize("boundary", [WALL, Boundary("neumann", 2.0), Boundary("dirichlet", 0.5)])
def test_ends_of_an_axis_are_held_to_what_the_data_say(boundary):
    grid = Grid((Axis("x", 200, 1.0, low=boundary, high=boundary), Axis("y", 4, 1.0)))
    x = grid.axes[0].centres()[:, None].expand(-1, 4)
    right = {
        "wall": torch.cos(math.pi * x),
        "neumann": 2 * x,
        "dirichlet": 0.5 + torch.sin(math.pi * x),
    }[boundary.kind]
    reward = Boundaries(fields(grid))
    frames = right.expand(3, 1, 200, 4)
    assert (reward(frames, frames, NONE) > -1e-3).all()
    assert (reward(frames, frames + 0.3 * (x - 0.3) * x.shape[0], NONE) < -0.2).all()


def test_numbers_do_not_depend_on_the_resolution_nor_on_the_number_of_axes(cache):
    coarse, fine = waves(64), waves(128)
    rewards = [available(fields(line(cells)), None) for cells in (64, 128)]
    plane = Grid((Axis("y", 3, 2.0), Axis("x", 64, 1.0)))
    flat = available(fields(plane), None)
    for name in ("conservation", "energy_decay", "total_variation", "maximum_principle"):
        found = [
            reward[name](u, 1.5 * u + 0.1, NONE) for reward, u in zip(rewards, (coarse, fine), strict=True)
        ]
        assert torch.allclose(found[0], found[1], rtol=0.02), name
        along = coarse[:, :, None].expand(3, 1, 3, 64)
        assert torch.allclose(flat[name](along, 1.5 * along + 0.1, NONE), found[0], rtol=1e-6), name


def test_rows_do_not_see_each_other(cache):
    made = Simulated(equation="heat", num_trajectories=4, num_frames=3, num_cells=32)
    known = made.load()
    rewards = available(known.fields, of_equation(made.equation_class, known.fields))
    before, after = known.values[:, 0], known.values[:, 1] + 0.1
    for reward in rewards.values():
        whole = reward(before, after, known.params)
        alone = reward(before[2:3], after[2:3], known.params[2:3])
        assert torch.allclose(whole[2:3], alone, rtol=1e-9, atol=1e-12)
