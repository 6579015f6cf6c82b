import math

import pytest
import torch

from equation_cases import EXTENT, N, centers, frames
from ups.solvers.equations.allen_cahn import AllenCahn
from ups.solvers.modes import Modes
from ups.types import WALL, Axis, Grid, line


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
