"""An equation's parts are the equation: their rate is the slope of what its own propagator does."""

import inspect

import pytest
import torch

from ups.solvers.equation import fields_of
from ups.solvers.equations import EQUATIONS
from ups.solvers.split import Split, Splits
from ups.streams import stream
from ups.types import WALL, Axis, Grid, line

PLANES = ("vorticity", "gray_scott", "fitzhugh_nagumo")
VALUES = {"feed": 0.03, "kill": 0.06, "nu": 0.01, "speed": 0.4, "rho": 2.0, "r": 0.7, "strength": 0.1}


def smooth(grid: Grid, num_fields: int) -> torch.Tensor:
    """Three rows of long waves between 0.2 and 0.8."""
    generator = stream(0, "split")
    frame = torch.full((num_fields, 3, *grid.shape), 0.5, dtype=torch.float64)
    for place, axis in enumerate(grid.axes):
        x = (axis.centres() - axis.origin) / axis.extent
        for wave in (1, 2):
            phase = torch.rand(num_fields, 3, 1, generator=generator, dtype=torch.float64)
            along = torch.cos(2 * torch.pi * wave * (x + (phase if axis.is_periodic else 0)))
            shape = [num_fields, 3] + [axis.cells if p == place else 1 for p in range(len(grid))]
            frame = frame + 0.07 * along.expand(num_fields, 3, -1).reshape(shape)
    return frame if num_fields > 1 else frame[0]


def grids(name: str) -> list[Grid]:
    equation = EQUATIONS[name]
    if name in PLANES:
        plane = Grid((Axis("x", 32, 4.0), Axis("y", 24, 3.0)))
        walled = Grid((Axis("x", 32, 4.0, low=WALL, high=WALL), Axis("y", 24, 3.0)))
        return [grid for grid in (plane, walled) if not equation.obstacle(grid)]
    return [line(512 if name == "burgers" else 64, equation.data.extent)]


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_rate_is_the_slope_of_the_propagator(name):
    equation = EQUATIONS[name](**{p: VALUES[p] for p in inspect.signature(EQUATIONS[name]).parameters})
    assert isinstance(equation, Splits)
    for grid in grids(name):
        frame = smooth(grid, len(fields_of(EQUATIONS[name])))
        frame = frame - frame.mean() if name == "vorticity" else frame
        rate = equation.split(grid).rate(frame)
        errors = []
        for step in (2e-3, 1e-3):
            moved = equation.propagator(step, grid)(frame)
            back_and_forth = equation.split(grid).rate(moved)
            # the trapezoid rule: what is left falls as the square of the step
            errors.append(((moved - frame) / step - (rate + back_and_forth) / 2).abs().max().item())
        scale = rate.abs().max().item()
        if name == "burgers":  # of another scheme: what is left is that of the cells
            assert errors[1] < 0.01 * scale
        else:
            assert errors[1] < 1e-3 * scale
            assert errors[1] < 0.3 * errors[0] + 1e-9 * scale


def test_parts_without_products_are_linear():
    heat = EQUATIONS["heat"](nu=0.01)
    grid = line(32)
    split = heat.split(grid)
    assert isinstance(split, Split)
    frame = smooth(grid, 1)
    assert torch.allclose(split.rate(3 * frame), 3 * split.rate(frame), atol=1e-12)
