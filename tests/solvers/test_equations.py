import dataclasses
import inspect
import math

import pytest
import torch

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
from ups.solvers.initial import clean, waves
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.types import OPEN, WALL, Axis, Grid, UserError, line

N, EXTENT = 64, 3.0
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


def centers(num_cells=N, extent=EXTENT):
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * extent / num_cells


def frames(num=3):
    return clean(num, N, EXTENT, stream(0, "equations"))[:, 0]


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


def test_advection_is_exact_after_one_period():
    u0 = frames()
    result = Advection(0.7).propagator(EXTENT / 0.7, line(N, EXTENT))(u0)
    torch.testing.assert_close(result, u0, rtol=0, atol=1e-12)


def test_heat_decays_every_mode_at_its_exact_rate():
    for mode in (1, 5, 20):
        u0 = torch.sin(2 * math.pi * mode / EXTENT * centers())[None]
        result = Heat(0.02).propagator(0.3, line(N, EXTENT))(u0)
        rate = 0.02 * (2 * math.pi * mode / EXTENT) ** 2
        torch.testing.assert_close(result, u0 * math.exp(-rate * 0.3), rtol=0, atol=1e-14)


def test_small_kuramoto_sivashinsky_waves_grow_at_k2_minus_k4():
    extent, time = 32.0, 2.0
    x = centers(128, extent)
    for mode in (1, 3, 5, 8):
        k = 2 * math.pi * mode / extent
        u0 = 1e-8 * torch.cos(k * x)[None]
        result = KuramotoSivashinsky().propagator(time, line(128, extent))(u0)
        rate = math.log((result.norm() / u0.norm()).item()) / time
        assert rate == pytest.approx(k**2 - k**4, abs=1e-6)


def test_kuramoto_sivashinsky_stays_bounded_and_does_not_die():
    extent = 32.0
    u0 = 0.1 * clean(4, 96, extent, stream(1, "chaos"))[:, 0]
    advance = KuramotoSivashinsky().propagator(10.0, line(96, extent))
    for _ in range(12):
        u0 = advance(u0)
    assert 0.5 < u0.pow(2).mean().sqrt() < 2.5
    assert u0.abs().max() < 5


def test_the_kuramoto_sivashinsky_step_is_converged_over_a_frame(monkeypatch):
    extent = 32.0
    u0 = clean(2, 96, extent, stream(2, "converged"))[:, 0]
    coarse = KuramotoSivashinsky().propagator(1.0, line(96, extent))(u0)
    halves = KuramotoSivashinsky().propagator(0.0125, line(96, extent))
    fine = u0
    for _ in range(80):
        fine = halves(fine)
    assert ((coarse - fine).norm() / fine.norm()).item() < 1e-6


def test_fisher_kpp_without_reaction_is_heat():
    u0 = frames()
    reaction_off = FisherKPP(0.05, 0.0).propagator(0.3, line(N, EXTENT))(u0)
    torch.testing.assert_close(
        reaction_off, Heat(0.05).propagator(0.3, line(N, EXTENT))(u0), rtol=0, atol=1e-13
    )


def test_uniform_fisher_kpp_is_logistic_growth():
    start = torch.tensor([0.05, 0.5, 0.95, 1.0, 0.0], dtype=torch.float64)
    for rho, time in ((1.0, 1.0), (10.0, 0.5)):
        result = FisherKPP(0.5, rho).propagator(time, line(N, EXTENT))(start[:, None].expand(-1, N))
        growth = math.exp(rho * time)
        expected = start * growth / (1 + start * (growth - 1))
        torch.testing.assert_close(result, expected[:, None].expand(-1, N), rtol=0, atol=1e-7)


def test_fisher_fronts_run_at_twice_the_root_of_nu_rho():
    num_cells, extent, nu, rho = 1024, 100.0, 0.5, 2.0
    x = centers(num_cells, extent)
    u = (0.5 * (torch.tanh((x - 40) / 0.5) - torch.tanh((x - 60) / 0.5)))[None]
    advance = FisherKPP(nu, rho).propagator(2.5, line(num_cells, extent))
    widths = []
    for _ in range(4):
        u = advance(u)
        widths.append(u.sum().item() * extent / num_cells)
    speed = (widths[-1] - widths[-2]) / 2 / 2.5
    # Bramson: 2 sqrt(nu rho) is approached from below, as 3 / (2 t sqrt(rho / nu)); here t is about 8.75
    assert speed == pytest.approx(2 * math.sqrt(nu * rho) - 1.5 / 8.75 / math.sqrt(rho / nu), abs=0.02)


def test_uniform_allen_cahn_follows_its_exact_relaxation():
    start = torch.tensor([0.05, 0.5, 1.0, 1.7, -0.4, 0.0], dtype=torch.float64)
    for time in (0.5, 4.0):
        result = AllenCahn(0.5).propagator(time, line(N, EXTENT))(start[:, None].expand(-1, N))
        expected = start / (start**2 + (1 - start**2) * math.exp(-2 * time)).sqrt()
        torch.testing.assert_close(result, expected[:, None].expand(-1, N), rtol=0, atol=1e-5)


def test_small_allen_cahn_waves_grow_at_1_minus_nu_k2():
    nu, time = 0.05, 1.5
    for mode in (0, 1, 4, 12):
        k = 2 * math.pi * mode / EXTENT
        u0 = 1e-8 * torch.cos(k * centers())[None]
        result = AllenCahn(nu).propagator(time, line(N, EXTENT))(u0)
        torch.testing.assert_close(result, u0 * math.exp((1 - nu * k**2) * time), rtol=1e-9, atol=1e-20)


def test_allen_cahn_loses_energy_at_the_rate_at_which_it_moves():
    """E = integral of nu/2 u_x^2 + (1 - u^2)^2 / 4 falls at the rate of the integral of u_t^2."""
    nu, duration, equation = 0.01, 0.05, AllenCahn(0.01)
    advance = equation.propagator(duration, line(N, EXTENT))
    u, energies, powers = frames(4) + 0.1, [], []
    for _ in range(200):
        slope = torch.fft.irfft(torch.fft.rfft(u) * Modes(line(N, EXTENT)).derivative(), n=N)
        energies.append((nu / 2 * slope**2 + (1 - u**2) ** 2 / 4).mean(1))
        powers.append(equation.rate(u, line(N, EXTENT)).square().mean(1))
        u = advance(u)
    energy, power = torch.stack(energies), torch.stack(powers)
    lost = (power[:-1] + power[1:]) / 2 * duration
    assert (energy.diff(dim=0) < 0).all()
    torch.testing.assert_close(-energy.diff(dim=0)[10:], lost[10:], rtol=0.02, atol=1e-6)


def test_the_rate_of_allen_cahn_is_what_its_solution_does_and_vanishes_for_a_front():
    equation, u = AllenCahn(0.05), frames()
    step = 1e-4
    change = (equation.propagator(step, line(N, EXTENT))(u) - u) / step
    torch.testing.assert_close(equation.rate(u, line(N, EXTENT)), change, rtol=0, atol=2e-2)
    nu, extent = 0.005, 8.0
    x = centers(512, extent)
    width = math.sqrt(2 * nu)
    fronts = (torch.tanh((x - 2) / width) - torch.tanh((x - 6) / width) - 1)[None]
    assert AllenCahn(nu).rate(fronts, line(512, extent)).abs().max() < 1e-4
    assert AllenCahn(2 * nu).rate(fronts, line(512, extent)).abs().max() > 0.3


def test_viscous_burgers_tends_to_the_inviscid_shock():
    num_cells = 512
    x = centers(num_cells, 1.0)
    u0 = torch.where((x > 0.2) & (x < 0.5), 1.0, 0.0)[None].double()
    results = [Burgers(nu).propagator(0.2, line(num_cells, 1.0))(u0) for nu in (0.0, 1e-3, 1e-2, 1e-1)]
    distances = [(r - results[0]).abs().mean().item() for r in results[1:]]
    assert distances[0] < distances[1] < distances[2]
    assert distances[0] < 5e-3


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


def test_a_soliton_travels_unchanged_at_its_speed():
    extent, num_cells, c = 40.0, 256, 2.0
    x = centers(num_cells, extent)
    profile = lambda place: c / 2 / torch.cosh(math.sqrt(c) / 2 * (x - place)) ** 2  # noqa: E731
    result = KortewegDeVries().propagator(4.0, line(num_cells, extent))(profile(15.0)[None])
    torch.testing.assert_close(result, profile(15.0 + 4 * c)[None], rtol=0, atol=1e-6)


def test_two_solitons_come_out_of_each_other_with_a_shift_that_is_known():
    extent, num_cells, fast, slow = 80.0, 512, 4.0, 1.0
    x = centers(num_cells, extent)
    profile = lambda c, place: c / 2 / torch.cosh(math.sqrt(c) / 2 * (x - place)) ** 2  # noqa: E731
    u = (profile(fast, 20.0) + profile(slow, 32.0))[None]
    result = KortewegDeVries().propagator(10.0, line(num_cells, extent))(u)
    # the fast one is moved ahead by log(((sqrt a + sqrt b) / (sqrt a - sqrt b))^2) / sqrt a, the slow one back
    ahead = 2 * math.log(3.0)
    expected = profile(fast, 60.0 + ahead / 2) + profile(slow, 42.0 - ahead)
    torch.testing.assert_close(result, expected[None], rtol=0, atol=2e-3)


def test_small_swift_hohenberg_waves_grow_at_their_rate_and_saturate_at_a_known_size():
    r, extent = 0.1, 8 * math.pi
    x = centers(N, extent)
    for mode in (2, 4, 6):
        k = 2 * math.pi * mode / extent
        u0 = 1e-8 * torch.cos(k * x)[None]
        result = SwiftHohenberg(r).propagator(1.5, line(N, extent))(u0)
        rate = r - (1 - k**2) ** 2
        torch.testing.assert_close(result, u0 * math.exp(rate * 1.5), rtol=1e-8, atol=1e-20)
    u = SwiftHohenberg(r).propagator(150.0, line(N, extent))(0.1 * torch.cos(x)[None])
    amplitude = torch.fft.rfft(u)[0, 4].abs().item() * 2 / N
    assert amplitude == pytest.approx(2 * math.sqrt(r / 3), rel=1e-3)


PLANES = [
    Grid((Axis("x", 24, 3.0), Axis("y", 20, 2.0))),
    Grid((Axis("x", 24, 3.0, low=WALL, high=WALL), Axis("y", 20, 2.0))),
    Grid((Axis("x", 24, 3.0), Axis("y", 20, 2.0, low=WALL, high=WALL))),
    Grid((Axis("x", 24, 3.0, low=WALL, high=WALL), Axis("y", 20, 2.0, low=WALL, high=WALL))),
]
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


def test_heat_decays_every_wave_of_a_plane_and_of_a_box_at_its_exact_rate():
    for grid in [
        *PLANES,
        Grid((Axis("x", 10, 1.0), Axis("y", 8, 2.0, low=WALL, high=WALL), Axis("z", 6, 3.0))),
    ]:
        u0, squared = torch.ones(1, *grid.shape, dtype=torch.float64), 0.0
        for place, axis in enumerate(grid.axes):
            k = (2 if axis.is_periodic else 1) * math.pi * (place + 1) / axis.extent
            shape = [1] * len(grid)
            shape[place] = -1
            u0 = u0 * torch.cos(k * centers(axis.cells, axis.extent)).reshape(shape)
            squared += k**2
        result = Heat(0.02).propagator(0.3, grid)(u0)
        torch.testing.assert_close(result, u0 * math.exp(-0.02 * squared * 0.3), rtol=0, atol=1e-14)


@pytest.mark.parametrize("equation", ANYWHERE[1:], ids=lambda e: type(e).__name__)
def test_waves_between_walls_converge_faster_than_any_power(equation):
    def solved(factor):  # odd factors: a centre of the coarse grid is one of the fine grid
        grid = PLANES[2].resized(16 * factor, 12 * factor)
        result = equation.propagator(0.3, grid)(waves(1, grid, stream(7, "converge"))[:, 0])
        return result[:, factor // 2 :: factor, factor // 2 :: factor]

    errors = [(solved(factor) - solved(27)).abs().max().item() for factor in (1, 3, 9)]
    assert errors[1] < errors[0] / 100 < 1e-2, errors
    assert errors[2] < 1e-8, errors


def test_a_circle_of_allen_cahn_shrinks_by_its_curvature():
    nu, extent, cells, radius = 1e-3, 2.0, (128, 120), 0.6
    grid = Grid((Axis("x", cells[0], extent), Axis("y", cells[1], extent, low=WALL, high=WALL)))
    x, y = (axis.centres() - 1 for axis in grid.axes)
    distance = (x[:, None] ** 2 + y[None] ** 2).sqrt()
    u = torch.tanh((radius - distance) / math.sqrt(2 * nu))[None]
    area = lambda u: ((u + 1) / 2).mean().item() * extent**2  # noqa: E731
    advance = AllenCahn(nu).propagator(10.0, grid)
    start = advance(u)
    end = advance(advance(start))
    # dR/dt = -nu / R: the area falls at the rate 2 pi nu
    assert (area(start) - area(end)) / 20.0 == pytest.approx(2 * math.pi * nu, rel=0.03)


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
