import itertools
import math

import pytest
import torch

from ups.solvers import exact
from ups.solvers.finite_volume import FiniteVolume
from ups.solvers.initial import pdebench_like
from ups.streams import stream


def sine_averages(num_cells, phase=0.0, offset=0.0):
    edges = torch.arange(num_cells + 1, dtype=torch.float64) / num_cells
    integral = -torch.cos(2 * math.pi * (edges + phase)) / (2 * math.pi)
    return (offset + torch.diff(integral) * num_cells)[None]


def relative(a, b):
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).max().item()


@pytest.mark.parametrize("offset", [0.0, 1.7])
def test_order_is_two_on_smooth_data(offset):
    # before the shock at t = 1/(2 pi) = .159 the inviscid solution is implicit: u = sin 2 pi (x - u t)
    time, errors = 0.08, []
    for num_cells in (64, 128, 256, 512):
        edges = torch.arange(num_cells + 1, dtype=torch.float64) / num_cells - offset * time
        u = torch.zeros_like(edges)
        for _ in range(60):
            error = u - torch.sin(2 * math.pi * (edges - u * time))
            u = u - error / (1 + 2 * math.pi * time * torch.cos(2 * math.pi * (edges - u * time)))
        # the integral of u over x is that of u (1 + t u_xi) over xi = x - u t
        xi = edges - u * time
        integral = -torch.cos(2 * math.pi * xi) / (2 * math.pi) + time * u**2 / 2
        truth = offset + torch.diff(integral)[None] * num_cells
        result = FiniteVolume(0.0, time, num_cells, 1.0)(sine_averages(num_cells, offset=offset))
        errors.append((result - truth).abs().mean().item())
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 1.8, (orders, errors)


# the shock of kappa = 3e-4 is a third of a cell thick here
@pytest.mark.parametrize(("kappa", "bound"), [(3e-4, 8e-3), (3e-3, 1e-3), (0.03, 3e-5), (0.3, 3e-5)])
def test_the_viscous_solution_is_that_of_cole_and_hopf(kappa, bound):
    u0 = sine_averages(512, phase=0.1, offset=0.3)
    times = torch.tensor([0.1, 0.5])
    truth = exact.burgers(u0, times, kappa * math.pi, 1.0)
    for index, time in enumerate(times.tolist()):
        result = FiniteVolume(kappa, time, 512, 1.0)(u0)
        assert relative(result, truth[:, index]) < bound


def test_viscous_errors_fall_with_the_square_of_the_cell():
    errors = []
    for num_cells in (128, 256, 512):
        u0 = sine_averages(num_cells, offset=0.2)
        truth = exact.burgers(u0, torch.tensor([0.3]), 0.02 * math.pi, 1.0)[:, 0]
        errors.append(relative(FiniteVolume(0.02, 0.3, num_cells, 1.0)(u0), truth))
    assert errors[0] / errors[1] > 3.5
    assert errors[1] / errors[2] > 3.5


@pytest.mark.parametrize("kappa", [0.0, 3e-4, 0.1])
def test_the_mean_is_conserved_to_round_off(kappa):
    u0 = pdebench_like(40, 256, 1.0, stream(0, "mean"))[:, 0]
    result = FiniteVolume(kappa, 0.5, 256, 1.0)(u0)
    assert (result.mean(1) - u0.mean(1)).abs().max() < 1e-13


def test_a_shock_between_two_states_moves_at_their_mean():
    num_cells, time = 400, 0.25
    x = (torch.arange(num_cells, dtype=torch.float64) + 0.5) / num_cells
    u0 = torch.where((x > 0.1) & (x < 0.4), 1.5, 0.5)[None].double()
    result = FiniteVolume(0.0, time, num_cells, 1.0)(u0)[0]
    position = x[(result > 1.0).nonzero().max()].item() + 0.5 / num_cells
    assert abs(position - (0.4 + 1.0 * time)) < 1.5 / num_cells


def test_a_jump_up_opens_into_a_fan_and_not_into_a_standing_shock():
    num_cells, time = 400, 0.2
    x = (torch.arange(num_cells, dtype=torch.float64) + 0.5) / num_cells
    u0 = torch.where((x > 0.5) & (x < 0.9), 1.0, -1.0)[None].double()
    result = FiniteVolume(0.0, time, num_cells, 1.0)(u0)[0]
    inside = (x - 0.5).abs() < 0.15
    assert (result - (x - 0.5) / time)[inside].abs().max() < 0.02


@pytest.mark.parametrize("kappa", [0.0, 1e-4])
def test_extremes_and_total_variation_do_not_grow_even_on_noise(kappa):
    u0 = torch.rand(8, 200, generator=stream(1, "noise"), dtype=torch.float64) * 4 - 1
    result = FiniteVolume(kappa, 0.05, 200, 1.0)(u0)
    assert (result.amax(1) <= u0.amax(1) + 1e-12).all()
    assert (result.amin(1) >= u0.amin(1) - 1e-12).all()
    variation = [torch.diff(u, append=u[:, :1]).abs().sum(1) for u in (u0, result)]
    assert (variation[1] <= variation[0] + 1e-12).all()


def test_reflection_and_whole_cell_shifts_commute_with_the_solver():
    u0 = pdebench_like(6, 128, 1.0, stream(2, "symmetry"))[:, 0]
    advance = FiniteVolume(1e-3, 0.1, 128, 1.0)
    result = advance(u0)
    torch.testing.assert_close(advance(-u0.flip(1)), -result.flip(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(advance(u0.roll(17, 1)), result.roll(17, 1), rtol=0, atol=1e-12)


def test_a_galilean_boost_by_whole_cells_is_exact():
    u0 = pdebench_like(6, 128, 1.0, stream(3, "boost"))[:, 0]
    duration, cells = 0.1, 13
    boost = cells / 128 / duration
    advance = FiniteVolume(1e-3, duration, 128, 1.0)
    torch.testing.assert_close(advance(u0 + boost), advance(u0).roll(cells, 1) + boost, rtol=0, atol=1e-11)


def test_scaling_speed_and_time_together_changes_nothing():
    u0 = sine_averages(128, offset=0.0)
    slow = FiniteVolume(1e-3, 0.2, 128, 1.0)(u0)
    fast = FiniteVolume(3e-3, 0.2 / 3, 128, 1.0)(3 * u0)
    torch.testing.assert_close(fast, 3 * slow, rtol=0, atol=1e-12)


def test_a_row_does_not_depend_on_the_batch_around_it():
    u0 = pdebench_like(70, 128, 1.0, stream(4, "batch"))[:, 0]
    kappa = torch.logspace(-4, -0.5, 70, dtype=torch.float64)
    together = FiniteVolume(kappa, 0.05, 128, 1.0)(u0)
    for row in (0, 31, 45, 69):
        alone = FiniteVolume(kappa[row].item(), 0.05, 128, 1.0)(u0[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-13)


def test_explicit_and_split_diffusion_agree_where_either_could_be_chosen(monkeypatch):
    u0 = sine_averages(256)
    advance = FiniteVolume(2e-3, 0.1, 256, 1.0)
    results = []
    for cost in (0, 1e9):
        monkeypatch.setattr("ups.solvers.finite_volume._FOURIER_COST", cost)
        results.append(advance(u0))
    assert 1e-7 < relative(results[0], results[1]) < 1e-3


def test_without_a_flux_to_speak_of_only_diffusion_is_left():
    u0 = 1e-7 * sine_averages(128)
    result = FiniteVolume(0.05, 0.5, 128, 1.0)(u0)
    torch.testing.assert_close(result, u0 * math.exp(-0.05 * 4 * math.pi**2 * 0.5), rtol=1e-5, atol=1e-14)


def test_the_input_is_left_alone():
    u0 = sine_averages(64)
    before = u0.clone()
    FiniteVolume(1e-3, 0.1, 64, 1.0)(u0)
    assert torch.equal(u0, before)
