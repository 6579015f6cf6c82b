import math
from functools import partial

import pytest
import torch

from ups.solvers import exact


def centers(num_cells, extent=1.0):
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * extent / num_cells


def edge_difference(integral, num_cells, extent=1.0):
    edges = torch.arange(num_cells + 1, dtype=torch.float64) * extent / num_cells
    return (torch.diff(integral(edges)) * num_cells / extent)[None]


@pytest.mark.parametrize("mean", [0.0, 0.83, -2.1])
def test_burgers_is_exact_for_a_heat_solution_known_in_closed_form(mean):
    # theta = 1 + a e^(-kappa k^2 t) cos k (x - mean t): the integral of u is mean x - 2 kappa log theta.
    # What is left is the cubic potential between the edges of the initial cells: fourth order.
    nu, extent, a = 0.1, 2.0, 0.6
    kappa, k = nu / math.pi, 2 * math.pi / extent
    times = torch.tensor([0.0, 0.3, 1.0, 4.0], dtype=torch.float64)
    errors = []
    for num_cells in (128, 256):

        def integral(x, time):
            decay = a * math.exp(-kappa * k**2 * time)
            return mean * x - 2 * kappa * torch.log(1 + decay * torch.cos(k * (x - mean * time)))

        truth = [edge_difference(partial(integral, time=time), num_cells, extent) for time in times.tolist()]
        result = exact.burgers(truth[0], times, nu, extent)
        errors.append((result - torch.stack(truth, 1)).abs().max().item())
    assert errors[1] < 1e-8
    assert errors[0] / errors[1] > 14


def shocked(nu, num_cells, times):
    u0 = edge_difference(lambda x: 0.4 * x - torch.cos(2 * math.pi * x) / (2 * math.pi), num_cells)
    return exact.burgers(u0, times, nu, 1.0)


def test_burgers_at_small_viscosity_has_the_tanh_profile_of_a_shock():
    # Taylor's shock between the local states, u = c - J/2 tanh(J (x - x_s) / (4 kappa)), plus the outer slope
    nu, num_cells, time = 0.001, 1024, 1.0
    u = shocked(nu, num_cells, torch.tensor([time]))[0, 0]
    assert u.isfinite().all()
    # the shock moves with the mean from x = 1/2, where two equal halves of the sine meet
    x_s = (0.5 + 0.4 * time) % 1.0
    distance = (centers(num_cells) - x_s + 0.5) % 1.0 - 0.5
    outer = u[(distance > 0.02) & (distance < 0.1)]
    jump = 2 * (0.4 - outer.min().item())
    inner = distance.abs() < 6 / num_cells
    kappa = nu / math.pi
    edge = lambda d: -2 * kappa * torch.log(torch.cosh(jump * d / (4 * kappa)))  # noqa: E731
    h = 1 / num_cells
    profile = 0.4 + (edge(distance + h / 2) - edge(distance - h / 2)) / h
    assert (u - profile)[inner].abs().max() < 0.03 * jump


@pytest.mark.parametrize("nu", [0.001, 0.01, 0.1, 1.0])
def test_burgers_does_not_depend_on_the_quadrature(nu):
    times = torch.tensor([0.05, 0.4], dtype=torch.float64)
    u0 = edge_difference(lambda x: 0.4 * x - torch.cos(2 * math.pi * x) / (2 * math.pi), 512)
    coarse, fine = (exact.burgers(u0, times, nu, 1.0, refine=refine) for refine in (4, 10))
    assert (coarse - fine).abs().max() < 1e-6


def test_burgers_solves_from_a_later_frame_as_well_as_from_the_first():
    # the flow property, through a shock: nothing but the exact evolution of cell averages has it
    first = shocked(0.01, 512, torch.tensor([0.1, 0.4], dtype=torch.float64))
    later = exact.burgers(first[:, 0], torch.tensor([0.3], dtype=torch.float64), 0.01, 1.0)[:, 0]
    assert ((later - first[:, 1]).norm() / first[:, 1].norm()).item() < 1e-5


def test_burgers_keeps_the_mean_and_takes_one_viscosity_a_row():
    nu = torch.tensor([0.001, 0.01, 1.0])
    u0 = edge_difference(lambda x: 0.4 * x - torch.cos(2 * math.pi * x) / (2 * math.pi), 256).expand(3, -1)
    times = torch.tensor([0.2, 0.7], dtype=torch.float64)
    together = exact.burgers(u0, times, nu, 1.0)
    assert (together.mean(-1) - 0.4).abs().max() < 1e-12
    for row in range(3):
        alone = exact.burgers(u0[row : row + 1], times, nu[row].item(), 1.0)
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-12)


def test_burgers_without_amplitude_is_heat():
    u0 = 1e-6 * torch.sin(2 * math.pi * centers(256))[None]
    times = torch.tensor([0.2, 0.7], dtype=torch.float64)
    result = exact.burgers(u0, times, 0.1, 1.0)
    torch.testing.assert_close(result, exact.heat(u0, times, 0.1 / math.pi, 1.0), rtol=0, atol=1e-11)


def test_advection_returns_after_a_period_and_moves_to_the_right():
    x = centers(64)
    u0 = torch.exp(torch.sin(2 * math.pi * x))[None]
    result = exact.advection(u0, torch.tensor([0.25, 2.0], dtype=torch.float64), 0.5, 1.0)
    torch.testing.assert_close(
        result[0, 0], torch.exp(torch.sin(2 * math.pi * (x - 0.125))), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(result[0, 1], u0[0], rtol=0, atol=1e-12)


def test_heat_decays_modes_exactly():
    x = centers(64, 2.0)
    u0 = (1 + torch.sin(math.pi * 3 * x))[None]
    result = exact.heat(u0, torch.tensor([0.1], dtype=torch.float64), 0.2, 2.0)
    expected = 1 + torch.sin(math.pi * 3 * x) * math.exp(-0.2 * 9 * math.pi**2 * 0.1)
    torch.testing.assert_close(result[0, 0], expected, rtol=0, atol=1e-13)
