import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from ups.solvers.equations.fitzhugh_nagumo import DIFFUSION, THRESHOLD, FitzHughNagumo
from ups.solvers.initial import pdebench_noise
from ups.solvers.solve import solve
from ups.types import WALL, Axis, Grid

PUBLISHED = Path(__file__).parents[4] / "shared/data/pdebench/2d/2D_diff-react_NA_NA.h5"


def plane(cells, side=WALL):
    return Grid(tuple(Axis(name, cells, 2.0, -1.0, side, side) for name in "xy"))


def test_uniform_states_follow_the_reaction():
    def reaction(_, state):
        u, v = state
        return [u - u**3 - THRESHOLD - v, u - v]

    truth = solve_ivp(reaction, (0, 3.0), (0.9, -0.4), rtol=1e-10, atol=1e-12).y[:, -1]
    frames = torch.tensor([0.9, -0.4], dtype=torch.float64).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    result = FitzHughNagumo().propagator(3.0, plane(8))(frames)
    torch.testing.assert_close(result[:, 0, 3, 3], torch.tensor(truth), rtol=0, atol=1e-7)
    assert (result - result[..., :1, :1]).abs().max() < 1e-14


def test_a_cosine_between_walls_decays_as_second_differences_say():
    """v alone and small: v_t = D_v lap v - v, and a cosine's second difference is -(2 - 2 cos k dx) / dx^2."""
    grid = plane(32)
    k, dx = 3 * math.pi / 2, 2 / 32
    wave = 1e-3 * torch.cos(k * (grid.axes[0].centres() + 1))[:, None].expand(32, 32)
    frames = torch.stack([torch.zeros_like(wave), wave])[:, None]
    _, v = FitzHughNagumo().propagator(1e-3, grid)(frames)
    rate = DIFFUSION[1] * (2 - 2 * math.cos(k * dx)) / dx**2 + 1
    torch.testing.assert_close(v[0], wave * math.exp(-rate * 1e-3), rtol=0, atol=1e-8)


def test_the_semi_discrete_system_is_solved_as_an_adaptive_solver_does():
    grid = plane(16)
    first = pdebench_noise(range(3, 4), grid)

    def rate(_, state):
        u, v = (np.pad(each, 1, mode="edge") for each in state.reshape(2, 16, 16))
        spread = [
            (p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * p[1:-1, 1:-1]) / (2 / 16) ** 2
            for p in (u, v)
        ]
        u, v = state.reshape(2, 16, 16)
        change = [1e-3 * spread[0] + u - u**3 - 5e-3 - v, 5e-3 * spread[1] + u - v]
        return np.stack(change).ravel()

    truth = solve_ivp(rate, (0, 1.0), first.numpy().ravel(), rtol=1e-10, atol=1e-12).y[:, -1]
    result = solve(FitzHughNagumo(), first, torch.tensor([0.0, 0.5, 1.0]), grid)[0, -1]
    np.testing.assert_allclose(result.numpy().ravel(), truth, rtol=0, atol=2e-6)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="PDEBench's generator's file is not here")
def test_pdebench_s_file_is_met_to_its_own_error_in_time():
    import h5py

    with h5py.File(PUBLISHED) as file:
        theirs = torch.tensor(file["0002/data"][:21]).movedim(-1, 1).double()
    times = 0.05 * torch.arange(21)
    ours = solve(FitzHughNagumo(), pdebench_noise(range(2, 3), plane(128)), times, plane(128))[0]
    errors = ((ours - theirs).flatten(2).norm(dim=2) / theirs.flatten(2).norm(dim=2)).mean(1)
    assert errors[0] < 1e-7
    assert errors[10:].mean() < 6e-5, errors
