import dataclasses
import math

import pytest
import torch

from ups.solvers.equations import Advection, AllenCahn, Burgers, FisherKPP, Heat, KuramotoSivashinsky
from ups.solvers.initial import clean
from ups.solvers.spectral import derivative
from ups.streams import stream

N, EXTENT = 64, 3.0
ALL = [
    Burgers(0.01),
    Advection(0.7),
    Heat(0.02),
    KuramotoSivashinsky(),
    FisherKPP(0.05, 1.0),
    AllenCahn(0.05),
]


def centers(num_cells=N, extent=EXTENT):
    return (torch.arange(num_cells, dtype=torch.float64) + 0.5) * extent / num_cells


def frames(num=3):
    return clean(num, N, EXTENT, stream(0, "equations"))[:, 0]


@pytest.mark.parametrize("equation", ALL, ids=lambda e: type(e).__name__)
def test_translating_the_initial_frame_translates_the_solution(equation):
    advance = equation.propagator(0.1, N, EXTENT)
    u0 = frames()
    torch.testing.assert_close(advance(u0.roll(9, 1)), advance(u0).roll(9, 1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("equation", ALL, ids=lambda e: type(e).__name__)
def test_two_half_intervals_make_a_whole_one(equation):
    u0 = frames()
    half, whole = equation.propagator(0.1, N, EXTENT), equation.propagator(0.2, N, EXTENT)
    tolerance = 4e-3 if isinstance(equation, Burgers) else 1e-6
    assert ((half(half(u0)) - whole(u0)).norm() / whole(u0).norm()).item() < tolerance


@pytest.mark.parametrize("equation", ALL[:4], ids=lambda e: type(e).__name__)
def test_the_mean_is_conserved_to_round_off(equation):
    u0 = frames() + 0.3
    result = equation.propagator(0.5, N, EXTENT)(u0)
    assert (result.mean(1) - u0.mean(1)).abs().max() < 1e-13


@pytest.mark.parametrize("equation", [ALL[0], ALL[3], ALL[5]], ids=lambda e: type(e).__name__)
def test_reflection_of_space_and_value_is_a_symmetry(equation):
    advance = equation.propagator(0.3, N, EXTENT)
    u0 = frames()
    torch.testing.assert_close(advance(-u0.flip(1)), -advance(u0).flip(1), rtol=0, atol=1e-11)


def test_advection_is_exact_after_one_period():
    u0 = frames()
    result = Advection(0.7).propagator(EXTENT / 0.7, N, EXTENT)(u0)
    torch.testing.assert_close(result, u0, rtol=0, atol=1e-12)


def test_heat_decays_every_mode_at_its_exact_rate():
    for mode in (1, 5, 20):
        u0 = torch.sin(2 * math.pi * mode / EXTENT * centers())[None]
        result = Heat(0.02).propagator(0.3, N, EXTENT)(u0)
        rate = 0.02 * (2 * math.pi * mode / EXTENT) ** 2
        torch.testing.assert_close(result, u0 * math.exp(-rate * 0.3), rtol=0, atol=1e-14)


def test_small_kuramoto_sivashinsky_waves_grow_at_k2_minus_k4():
    extent, time = 32.0, 2.0
    x = centers(128, extent)
    for mode in (1, 3, 5, 8):
        k = 2 * math.pi * mode / extent
        u0 = 1e-8 * torch.cos(k * x)[None]
        result = KuramotoSivashinsky().propagator(time, 128, extent)(u0)
        rate = math.log((result.norm() / u0.norm()).item()) / time
        assert rate == pytest.approx(k**2 - k**4, abs=1e-6)


def test_kuramoto_sivashinsky_stays_bounded_and_does_not_die():
    extent = 32.0
    u0 = 0.1 * clean(4, 96, extent, stream(1, "chaos"))[:, 0]
    advance = KuramotoSivashinsky().propagator(10.0, 96, extent)
    for _ in range(12):
        u0 = advance(u0)
    assert 0.5 < u0.pow(2).mean().sqrt() < 2.5
    assert u0.abs().max() < 5


def test_the_kuramoto_sivashinsky_step_is_converged_over_a_frame(monkeypatch):
    extent = 32.0
    u0 = clean(2, 96, extent, stream(2, "converged"))[:, 0]
    coarse = KuramotoSivashinsky().propagator(1.0, 96, extent)(u0)
    halves = KuramotoSivashinsky().propagator(0.0125, 96, extent)
    fine = u0
    for _ in range(80):
        fine = halves(fine)
    assert ((coarse - fine).norm() / fine.norm()).item() < 1e-6


def test_fisher_kpp_without_reaction_is_heat():
    u0 = frames()
    reaction_off = FisherKPP(0.05, 0.0).propagator(0.3, N, EXTENT)(u0)
    torch.testing.assert_close(reaction_off, Heat(0.05).propagator(0.3, N, EXTENT)(u0), rtol=0, atol=1e-13)


def test_uniform_fisher_kpp_is_logistic_growth():
    start = torch.tensor([0.05, 0.5, 0.95, 1.0, 0.0], dtype=torch.float64)
    for rho, time in ((1.0, 1.0), (10.0, 0.5)):
        result = FisherKPP(0.5, rho).propagator(time, N, EXTENT)(start[:, None].expand(-1, N))
        growth = math.exp(rho * time)
        expected = start * growth / (1 + start * (growth - 1))
        torch.testing.assert_close(result, expected[:, None].expand(-1, N), rtol=0, atol=1e-7)


def test_fisher_fronts_run_at_twice_the_root_of_nu_rho():
    num_cells, extent, nu, rho = 1024, 100.0, 0.5, 2.0
    x = centers(num_cells, extent)
    u = (0.5 * (torch.tanh((x - 40) / 0.5) - torch.tanh((x - 60) / 0.5)))[None]
    advance = FisherKPP(nu, rho).propagator(2.5, num_cells, extent)
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
        result = AllenCahn(0.5).propagator(time, N, EXTENT)(start[:, None].expand(-1, N))
        expected = start / (start**2 + (1 - start**2) * math.exp(-2 * time)).sqrt()
        torch.testing.assert_close(result, expected[:, None].expand(-1, N), rtol=0, atol=1e-5)


def test_small_allen_cahn_waves_grow_at_1_minus_nu_k2():
    nu, time = 0.05, 1.5
    for mode in (0, 1, 4, 12):
        k = 2 * math.pi * mode / EXTENT
        u0 = 1e-8 * torch.cos(k * centers())[None]
        result = AllenCahn(nu).propagator(time, N, EXTENT)(u0)
        torch.testing.assert_close(result, u0 * math.exp((1 - nu * k**2) * time), rtol=1e-9, atol=1e-20)


def test_allen_cahn_loses_energy_at_the_rate_at_which_it_moves():
    """E = integral of nu/2 u_x^2 + (1 - u^2)^2 / 4 falls at the rate of the integral of u_t^2."""
    nu, duration, equation = 0.01, 0.05, AllenCahn(0.01)
    advance = equation.propagator(duration, N, EXTENT)
    u, energies, powers = frames(4) + 0.1, [], []
    for _ in range(200):
        slope = torch.fft.irfft(torch.fft.rfft(u) * derivative(N, EXTENT), n=N)
        energies.append((nu / 2 * slope**2 + (1 - u**2) ** 2 / 4).mean(1))
        powers.append(equation.rate(u, EXTENT).square().mean(1))
        u = advance(u)
    energy, power = torch.stack(energies), torch.stack(powers)
    lost = (power[:-1] + power[1:]) / 2 * duration
    assert (energy.diff(dim=0) < 0).all()
    torch.testing.assert_close(-energy.diff(dim=0)[10:], lost[10:], rtol=0.02, atol=1e-6)


def test_the_rate_of_allen_cahn_is_what_its_solution_does_and_vanishes_for_a_front():
    equation, u = AllenCahn(0.05), frames()
    step = 1e-4
    change = (equation.propagator(step, N, EXTENT)(u) - u) / step
    torch.testing.assert_close(equation.rate(u, EXTENT), change, rtol=0, atol=2e-2)
    nu, extent = 0.005, 8.0
    x = centers(512, extent)
    width = math.sqrt(2 * nu)
    fronts = (torch.tanh((x - 2) / width) - torch.tanh((x - 6) / width) - 1)[None]
    assert AllenCahn(nu).rate(fronts, extent).abs().max() < 1e-4
    assert AllenCahn(2 * nu).rate(fronts, extent).abs().max() > 0.3


def test_viscous_burgers_tends_to_the_inviscid_shock():
    num_cells = 512
    x = centers(num_cells, 1.0)
    u0 = torch.where((x > 0.2) & (x < 0.5), 1.0, 0.0)[None].double()
    results = [Burgers(nu).propagator(0.2, num_cells, 1.0)(u0) for nu in (0.0, 1e-3, 1e-2, 1e-1)]
    distances = [(r - results[0]).abs().mean().item() for r in results[1:]]
    assert distances[0] < distances[1] < distances[2]
    assert distances[0] < 5e-3


def test_a_batch_of_mixed_parameters_equals_separate_solves():
    u0 = frames()
    a, b = torch.tensor([0.003, 0.05, 0.8]), torch.tensor([1.0, 0.1, 4.0])
    for equation in (Burgers(a), Advection(a), Heat(a), FisherKPP(a, b), AllenCahn(a)):
        together = equation.propagator(0.2, N, EXTENT)(u0)
        for row in range(3):
            one = {f.name: getattr(equation, f.name)[row].item() for f in dataclasses.fields(equation)}
            alone = type(equation)(**one).propagator(0.2, N, EXTENT)(u0[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-6)


def test_equations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Burgers(0.1).nu = 0.2
