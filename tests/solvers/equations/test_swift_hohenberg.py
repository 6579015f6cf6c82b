import math

import pytest
import torch

from equation_cases import N, centers
from ups.solvers.equations.swift_hohenberg import SwiftHohenberg
from ups.types import line


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
