import dataclasses
import inspect

import pytest
import torch

from equation_cases import EXTENT, PLANES, N, frames
from ups.solvers.equations import (
    EQUATIONS,
    Advection,
    AllenCahn,
    Burgers,
    FisherKPP,
    Heat,
    KortewegDeVries,
    KuramotoSivashinsky,
    SwiftHohenberg,
)
from ups.solvers.initial import waves
from ups.streams import stream
from ups.types import OPEN, WALL, Axis, Grid, UserError, line

ALL = [
    Burgers(0.01),
    Advection(0.7),
    Heat(0.02),
    KuramotoSivashinsky(),
    FisherKPP(0.05, 1.0),
    AllenCahn(0.05),
    KortewegDeVries(),
    SwiftHohenberg(0.5),
]


@pytest.mark.parametrize("equation", ALL, ids=lambda e: type(e).__name__)
def test_translating_the_initial_frame_translates_the_solution(equation):
    advance = equation.propagator(0.1, line(N, EXTENT))
    u0 = frames()
    torch.testing.assert_close(advance(u0.roll(9, 1)), advance(u0).roll(9, 1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("equation", ALL, ids=lambda e: type(e).__name__)
def test_two_half_intervals_make_a_whole_one(equation):
    u0, grid = frames(), line(N, 20.0 if isinstance(equation, KortewegDeVries) else EXTENT)
    half, whole = equation.propagator(0.1, grid), equation.propagator(0.2, grid)
    tolerance = 4e-3 if isinstance(equation, Burgers) else 1e-6
    assert ((half(half(u0)) - whole(u0)).norm() / whole(u0).norm()).item() < tolerance


@pytest.mark.parametrize("equation", [*ALL[:4], ALL[6]], ids=lambda e: type(e).__name__)
def test_the_mean_is_conserved_to_round_off(equation):
    u0 = frames() + 0.3
    result = equation.propagator(0.5, line(N, EXTENT))(u0)
    assert (result.mean(1) - u0.mean(1)).abs().max() < 1e-13


@pytest.mark.parametrize("equation", [ALL[0], ALL[3], ALL[5], ALL[7]], ids=lambda e: type(e).__name__)
def test_reflection_of_space_and_value_is_a_symmetry(equation):
    advance = equation.propagator(0.3, line(N, EXTENT))
    u0 = frames()
    torch.testing.assert_close(advance(-u0.flip(1)), -advance(u0).flip(1), rtol=0, atol=1e-11)


def test_a_batch_of_mixed_parameters_equals_separate_solves():
    u0 = frames()
    a, b = torch.tensor([0.003, 0.05, 0.8]), torch.tensor([1.0, 0.1, 4.0])
    for equation in (Burgers(a), Advection(a), Heat(a), FisherKPP(a, b), AllenCahn(a)):
        together = equation.propagator(0.2, line(N, EXTENT))(u0)
        for row in range(3):
            one = {f.name: getattr(equation, f.name)[row].item() for f in dataclasses.fields(equation)}
            alone = type(equation)(**one).propagator(0.2, line(N, EXTENT))(u0[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-6)


def test_equations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Burgers(0.1).nu = 0.2


def test_the_parameters_with_defaults_are_those_that_the_equations_take():
    for name, kind in EQUATIONS.items():
        assert set(kind.data.params) == set(inspect.signature(kind).parameters), name


ANYWHERE = [Heat(0.02), FisherKPP(0.02, 1.0), AllenCahn(0.05), SwiftHohenberg(0.5)]
each_plane = pytest.mark.parametrize("grid", PLANES, ids=["periodic", "x walled", "y walled", "walled"])
anywhere = pytest.mark.parametrize("equation", ANYWHERE, ids=lambda e: type(e).__name__)


@each_plane
@anywhere
def test_between_walls_it_does_what_it_does_to_the_periodic_double(equation, grid):
    u0 = waves(2, grid, stream(3, "walls"))[:, 0] + 0.2 * torch.rand(
        2, *grid.shape, generator=stream(4, "walls"), dtype=torch.float64
    )
    double, axes = u0, []
    for place, axis in enumerate(grid.axes):
        if axis.is_periodic:
            axes.append(axis)
        else:
            double = torch.cat([double, double.flip(place + 1)], place + 1)
            axes.append(Axis(axis.name, 2 * axis.cells, 2 * axis.extent))
    whole = equation.propagator(0.3, Grid(tuple(axes)))(double)
    kept = whole[:, : grid.shape[0], : grid.shape[1]]
    torch.testing.assert_close(equation.propagator(0.3, grid)(u0), kept, rtol=0, atol=1e-12)


@each_plane
@anywhere
def test_axes_can_be_exchanged(equation, grid):
    u0 = waves(2, grid, stream(5, "axes"))[:, 0]
    turned = equation.propagator(0.3, Grid(grid.axes[::-1]))(u0.mT)
    torch.testing.assert_close(turned.mT, equation.propagator(0.3, grid)(u0), rtol=0, atol=1e-12)


@each_plane
@anywhere
def test_what_varies_along_one_axis_alone_is_solved_as_on_a_line(equation, grid):
    line_of = Grid(grid.axes[:1])
    u0 = waves(2, line_of, stream(6, "line"))[:, 0]
    alone = equation.propagator(0.3, line_of)(u0)
    whole = equation.propagator(0.3, grid)(u0[..., None].expand(-1, -1, grid.shape[1]))
    torch.testing.assert_close(whole, alone[..., None].expand_as(whole), rtol=0, atol=1e-12)


@pytest.mark.parametrize("equation", ANYWHERE[1:], ids=lambda e: type(e).__name__)
def test_waves_between_walls_converge_faster_than_any_power(equation):
    def solved(factor):  # odd factors: a centre of the coarse grid is one of the fine grid
        grid = PLANES[2].resized(16 * factor, 12 * factor)
        result = equation.propagator(0.3, grid)(waves(1, grid, stream(7, "converge"))[:, 0])
        return result[:, factor // 2 :: factor, factor // 2 :: factor]

    errors = [(solved(factor) - solved(27)).abs().max().item() for factor in (1, 3, 9)]
    assert errors[1] < errors[0] / 100 < 1e-2, errors
    assert errors[2] < 1e-8, errors


@pytest.mark.parametrize(
    "equation", [Burgers(0.01), Advection(0.7), KuramotoSivashinsky(), KortewegDeVries()]
)
def test_what_is_honest_on_a_periodic_line_alone_refuses_the_rest(equation):
    for grid in [PLANES[0], Grid((Axis("x", 8, 1.0, low=WALL, high=WALL),))]:
        with pytest.raises(UserError, match="needs a periodic line"):
            equation.propagator(0.1, grid)


def test_open_sides_have_no_modes():
    with pytest.raises(UserError, match=r"periodic or lie between walls.*open"):
        Heat(0.1).propagator(0.1, Grid((Axis("x", 8, 1.0, low=OPEN, high=OPEN),)))
