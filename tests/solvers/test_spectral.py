import itertools
import math

import pytest
import torch

from ups.solvers import exact
from ups.solvers.modes import Modes
from ups.solvers.spectral import ETDRK4, Exponential
from ups.types import line


def grid(num_cells, extent):
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * extent / num_cells


def burgers(kappa, num_cells, extent, duration, max_step):
    modes = Modes(line(num_cells, extent))
    half_derivative = modes.derivative() / 2
    symbol = -kappa * modes.squared()
    return ETDRK4(modes, symbol, lambda u: -half_derivative * modes.dealiased(u, 2), duration, max_step)


def test_order_is_four_in_the_step():
    u0 = torch.sin(2 * math.pi * grid(128, 1.0))[None]
    fine = burgers(0.02, 128, 1.0, 0.3, 0.3 / 512)(u0)
    errors = [(burgers(0.02, 128, 1.0, 0.3, 0.3 / n)(u0) - fine).norm().item() for n in (16, 32, 64)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 3.7, (orders, errors)
    assert max(orders) < 4.7, (orders, errors)


def test_smooth_burgers_agrees_with_cole_and_hopf_to_nine_digits():
    num_cells, kappa = 128, 0.03
    u0 = (0.4 + torch.sin(2 * math.pi * grid(num_cells, 1.0)))[None]
    # a cell average of mode k is its point value times sinc(k dx / 2)
    sinc = torch.sinc(torch.arange(num_cells // 2 + 1, dtype=torch.float64) / num_cells)
    average = lambda u: torch.fft.irfft(torch.fft.rfft(u) * sinc, n=num_cells)  # noqa: E731
    result = burgers(kappa, num_cells, 1.0, 0.4, 1e-3)(u0)
    errors = []
    for refine in (1, 4):
        edges = torch.arange(num_cells * refine + 1, dtype=torch.float64) / (num_cells * refine)
        averages = 0.4 - torch.diff(torch.cos(2 * math.pi * edges)) / (2 * math.pi) * num_cells * refine
        truth = exact.burgers(averages[None], torch.tensor([0.4], dtype=torch.float64), kappa * math.pi, 1.0)[
            :, 0
        ]
        truth = truth.reshape(1, num_cells, refine).mean(2)
        errors.append((average(result) - truth).abs().max().item())
    assert errors[1] < 1e-9, errors
    assert errors[0] / errors[1] > 50  # what is left is the cubic potential between the cell edges


def test_with_the_nonlinear_part_off_the_linear_part_is_exact_in_one_step():
    modes = Modes(line(64, 3.0))
    k = modes.wavenumbers()
    symbol = -0.7 * k**2 + 0.2j * k
    u0 = torch.randn(3, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stepped = ETDRK4(modes, symbol, torch.zeros_like, 0.4, 0.4)(u0)
    torch.testing.assert_close(stepped, Exponential(modes, symbol, 0.4)(u0), rtol=0, atol=1e-13)


def test_with_the_linear_part_off_it_is_the_classical_runge_kutta_scheme():
    # u' = -u in every cell, one step: 1 - h + h^2/2 - h^3/6 + h^4/24
    h = 0.5
    u0 = torch.linspace(1, 2, 16, dtype=torch.float64)[None]
    result = ETDRK4(Modes(line(16)), torch.zeros(9, dtype=torch.float64), torch.neg, h, h)(u0)
    torch.testing.assert_close(result, u0 * (1 - h + h**2 / 2 - h**3 / 6 + h**4 / 24), rtol=1e-13, atol=0)


def test_coefficients_are_accurate_where_the_closed_form_cancels():
    symbol = torch.tensor([-1e-9, -1e-3, -1.0, -50.0], dtype=torch.float64)
    etd = ETDRK4(Modes(line(6)), symbol, torch.zeros_like, 1.0, 1.0)
    # phi_1, phi_2, phi_3 by their series or their closed form, whichever is safe
    for i, z in enumerate(symbol.tolist()):
        if abs(z) < 0.1:
            phi = [sum(z**j / math.factorial(j + n) for j in range(12)) for n in (1, 2, 3)]
        else:
            first = (math.exp(z) - 1) / z
            second = (first - 1) / z
            phi = [first, second, (second - 0.5) / z]
        assert etd.first[i].item() == pytest.approx(phi[0] - 3 * phi[1] + 4 * phi[2], abs=1e-13)
        assert etd.inner[i].item() == pytest.approx(2 * phi[1] - 4 * phi[2], abs=1e-13)
        assert etd.last[i].item() == pytest.approx(4 * phi[2] - phi[1], abs=1e-13)


def test_the_number_of_steps_is_the_smallest_that_respects_the_largest():
    symbol = torch.zeros(5, dtype=torch.float64)
    assert ETDRK4(Modes(line(8)), symbol, torch.zeros_like, 0.3, 0.1).num_steps == 3
    assert ETDRK4(Modes(line(8)), symbol, torch.zeros_like, 0.31, 0.1).num_steps == 4
