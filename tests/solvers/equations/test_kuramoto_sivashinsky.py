import math

import pytest
import torch

from equation_cases import centers
from ups.solvers.equations.kuramoto_sivashinsky import KuramotoSivashinsky
from ups.solvers.initial import clean
from ups.streams import stream
from ups.types import line


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
