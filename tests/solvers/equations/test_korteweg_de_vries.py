import math

import torch

from equation_cases import centers
from ups.solvers.equations.korteweg_de_vries import KortewegDeVries
from ups.types import line


def test_a_soliton_travels_unchanged_at_its_speed():
    extent, num_cells, c = 40.0, 256, 2.0
    x = centers(num_cells, extent)
    profile = lambda place: c / 2 / torch.cosh(math.sqrt(c) / 2 * (x - place)) ** 2  # noqa: E731
    result = KortewegDeVries().propagator(4.0, line(num_cells, extent))(profile(15.0)[None])
    torch.testing.assert_close(result, profile(15.0 + 4 * c)[None], rtol=0, atol=1e-6)


def test_two_solitons_come_out_of_each_other_with_a_shift_that_is_known():
    extent, num_cells, fast, slow = 80.0, 512, 4.0, 1.0
    x = centers(num_cells, extent)
    profile = lambda c, place: c / 2 / torch.cosh(math.sqrt(c) / 2 * (x - place)) ** 2  # noqa: E731
    u = (profile(fast, 20.0) + profile(slow, 32.0))[None]
    result = KortewegDeVries().propagator(10.0, line(num_cells, extent))(u)
    # the fast one is moved ahead by log(((sqrt a + sqrt b) / (sqrt a - sqrt b))^2) / sqrt a, the slow one back
    ahead = 2 * math.log(3.0)
    expected = profile(fast, 60.0 + ahead / 2) + profile(slow, 42.0 - ahead)
    torch.testing.assert_close(result, expected[None], rtol=0, atol=2e-3)
