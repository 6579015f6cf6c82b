import math

import pytest
import torch

from ups.solvers.actuated import Actuated, Actuators, longest_step
from ups.solvers.equations import EQUATIONS
from ups.types import Axis, Grid, line


def heat(grid, actuators=None, duration=0.5):
    return Actuated(EQUATIONS["heat"](nu=0.01), grid, duration, actuators or Actuators(), duration)


def test_bumps_stand_in_equal_distances_around_the_line_and_along_the_diagonal():
    shapes = Actuators(number=4, strength=2.0).shapes(line(64))
    assert shapes.argmax(1).tolist() == [8, 24, 40, 56] or shapes.argmax(1).tolist() == [7, 23, 39, 55]
    assert torch.allclose(shapes[0].roll(16), shapes[1], atol=1e-12)
    assert shapes.amax() == pytest.approx(2.0, rel=0.02)
    plane = Grid((Axis("x", 32, 1.0), Axis("y", 16, 2.0)))
    flat = Actuators(number=2).shapes(plane, mean_free=True)
    assert flat.shape == (2, 32, 16)
    assert flat.flatten(1).mean(1).abs().max() < 1e-12


def test_the_forced_heat_equation_is_solved_exactly():
    grid = line(64)
    solver, rate = heat(grid), Actuators().shapes(grid)
    start, actions = torch.zeros(2, 64, dtype=torch.float64), torch.tensor([[1.0, -0.5], [0.0, 1.0]])
    made = solver(start, actions)
    forcing = actions.double() @ rate
    k = 2 * math.pi * torch.fft.rfftfreq(64, 1 / 64, dtype=torch.float64)
    decay = 0.01 * k**2
    growth = torch.where(decay > 0, (1 - torch.exp(-decay * 0.5)) / decay.clamp(min=1e-30), 0.5)
    assert torch.allclose(made, torch.fft.irfft(torch.fft.rfft(forcing) * growth, n=64), atol=1e-12)


def test_what_no_action_does_is_the_equation_and_actions_are_of_each_row():
    grid = line(64)
    start = torch.sin(2 * math.pi * grid.axes[0].centres()).expand(2, 64)
    made = heat(grid)(start, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    alone = EQUATIONS["heat"](nu=0.01).propagator(0.5, grid)(start)
    assert torch.allclose(made[0], alone[0], atol=1e-12)
    assert (made[1] - made[0]).abs().max() > 0.1


def test_forced_burgers_converges_at_fourth_order():
    grid = line(128)
    start = 0.3 * torch.sin(2 * math.pi * grid.axes[0].centres())[None]
    actions, found = torch.tensor([[1.0, -1.0]]), []
    for steps in (8, 16, 32, 256):
        found.append(
            Actuated(EQUATIONS["burgers"](nu=0.3), grid, 0.2, Actuators(), 0.2 / steps)(start, actions)
        )
    errors = [(made - found[-1]).abs().max().item() for made in found[:-1]]
    assert errors[0] / errors[1] > 10
    assert errors[1] / errors[2] > 10


def test_steps_are_short_where_things_are_fast():
    assert longest_step(line(100), 1.0, 2.0) == pytest.approx(0.0025)
    assert longest_step(line(100), 1e-4, 2.0) == 1e-4
