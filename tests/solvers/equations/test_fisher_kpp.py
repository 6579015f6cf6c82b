import math

import pytest
import torch

from equation_cases import EXTENT, N, centers, frames
from ups.solvers.equations.fisher_kpp import FisherKPP
from ups.solvers.equations.heat import Heat
from ups.types import line


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
