import math
from itertools import pairwise

import pytest
import torch

from ups.nets.flux_law import advance_law, antiderivative, polynomial
from ups.solvers import exact as solutions
from ups.streams import stream

TAU = 2 * math.pi


def averages(function, num_cells, dtype=torch.float64):
    """Cell averages of a periodic function on [0, 1) by Gauss-Legendre points of each cell."""
    points = torch.tensor([-math.sqrt(0.6), 0.0, math.sqrt(0.6)], dtype=dtype)
    weights = torch.tensor([5, 8, 5], dtype=dtype) / 18
    x = (torch.arange(num_cells, dtype=dtype)[:, None] + 0.5 + points / 2) / num_cells
    return (function(x) * weights).sum(1)[None]


def law(*speed, diffusion=0.0, batch=1):
    return torch.tensor([speed], dtype=torch.float64).expand(batch, -1), torch.full(
        (batch,), diffusion, dtype=torch.float64
    )


def wave(x):
    return torch.sin(TAU * x) + 0.4 * torch.cos(2 * TAU * x)


def test_advection_at_second_order():
    errors = []
    for num_cells in (64, 128, 256):
        moved = advance_law(averages(wave, num_cells), *law(0.3))
        errors.append((moved - averages(lambda x: wave(x - 0.3), num_cells)).abs().mean().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 1.6, (errors, orders)


def test_diffusion_alone_is_exact_in_each_mode():
    num_cells, diffusion = 64, 0.01
    v = averages(lambda x: torch.sin(3 * TAU * x), num_cells)
    decayed = advance_law(v, *law(0.0, diffusion=diffusion))
    torch.testing.assert_close(decayed, v * math.exp(-diffusion * (3 * TAU) ** 2), rtol=1e-6, atol=1e-8)


def test_burgers_agrees_with_cole_hopf_through_a_shock():
    kappa, num_cells = 0.004, 512
    initial = averages(lambda x: torch.sin(TAU * x), num_cells)
    # u_t + u u_x = kappa u_xx to time 0.4, past the shock at 1 / (2 pi)
    exact = solutions.burgers(initial, torch.tensor([0.4], dtype=torch.float64), kappa * math.pi, 1.0)[:, 0]
    found = advance_law(initial, *law(0.0, 0.4, diffusion=0.4 * kappa))
    assert (found - exact).abs().mean() < 5e-4
    assert exact.diff().abs().max() > 0.1  # there is a front to get wrong


def test_a_quartic_flux_moves_its_shock_at_the_speed_of_rankine_and_hugoniot():
    num_cells, left, right = 1024, 1.0, 0.2
    v = torch.full((1, num_cells), right, dtype=torch.float64)
    v[:, 100:500] = left  # the front at 500 is a shock for f'' > 0
    moved = advance_law(v, *law(0.0, 0.0, 0.0, 0.125))  # f = v^4 / 32
    speed = 1 / 32 * (left**4 - right**4) / (left - right)
    # the values between the states right of the old front are what has flowed through it
    front = 500 + (moved[0, 480:800] - right).sum().item() / (left - right) - 20
    assert front == pytest.approx(500 + speed * num_cells, abs=0.05)


def test_no_time_and_no_law_change_nothing():
    v = torch.randn(3, 32, generator=stream(0, "v"))
    zero = torch.zeros(3, 4)
    torch.testing.assert_close(advance_law(v, zero, zero[:, 0]), v, rtol=0, atol=1e-5)


def test_the_sum_is_kept_to_round_off_and_no_new_extremes_appear():
    v = torch.randn(4, 128, generator=stream(0, "v"), dtype=torch.float64)
    speed, diffusion = law(0.1, 0.2, -0.1, 0.05, diffusion=1e-5, batch=4)
    moved = advance_law(v, speed, diffusion)
    torch.testing.assert_close(moved.sum(1), v.sum(1), rtol=0, atol=1e-11)
    assert (moved.amax(1) <= v.amax(1) + 1e-6).all()
    assert (moved.amin(1) >= v.amin(1) - 1e-6).all()
    assert (moved - v).abs().mean() > 0.1


def test_a_row_does_not_depend_on_the_batch_and_its_gradient_neither():
    v = torch.randn(5, 64, generator=stream(0, "v"), dtype=torch.float64) * torch.arange(1, 6)[:, None]
    speed = torch.randn(5, 3, generator=stream(0, "law"), dtype=torch.float64).mul(0.1).requires_grad_()
    diffusion = torch.linspace(0, 1e-3, 5, dtype=torch.float64)
    together = advance_law(v, speed, diffusion)
    apart = torch.cat([advance_law(v[i : i + 1], speed[i : i + 1], diffusion[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    weight = torch.randn(5, 64, generator=stream(0, "weight"), dtype=torch.float64)
    (one,) = torch.autograd.grad((together * weight).sum(), speed)
    (other,) = torch.autograd.grad((apart * weight).sum(), speed)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_gradient_of_the_law_is_that_of_finite_differences():
    v = averages(wave, 64)
    speed, diffusion = law(0.02, 0.05, 0.01, diffusion=1e-3)  # slow: the number of substeps stays what it is
    speed, diffusion = speed.clone().requires_grad_(), diffusion.requires_grad_()

    def energy(speed, diffusion):
        return advance_law(v, speed, diffusion).square().mean()

    assert torch.autograd.gradcheck(energy, (speed, diffusion), eps=1e-7, atol=1e-6)


def test_horner_and_the_antiderivative_are_those_of_the_polynomial():
    coefficients = torch.tensor([[1.0, -2.0, 0.5]])
    v = torch.linspace(-2, 2, 9)[None]
    torch.testing.assert_close(polynomial(coefficients, v), 1 - 2 * v + 0.5 * v**2)
    torch.testing.assert_close(polynomial(antiderivative(coefficients), v), v - v**2 + v**3 / 6)
