import torch

from equation_cases import EXTENT, N, frames
from ups.solvers.equations.advection import Advection
from ups.types import line


def test_advection_is_exact_after_one_period():
    u0 = frames()
    result = Advection(0.7).propagator(EXTENT / 0.7, line(N, EXTENT))(u0)
    torch.testing.assert_close(result, u0, rtol=0, atol=1e-12)
