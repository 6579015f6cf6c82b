import itertools
import math

import torch

from ups.solvers.runge_kutta import RungeKutta4


def test_order_is_four_in_the_step():
    start = torch.tensor([[[1.0], [0.5]]], dtype=torch.float64)  # u' = -u^2: u = u0 / (1 + u0 t)
    errors = []
    for steps in (16, 32, 64):
        result = RungeKutta4(lambda u: -(u**2), 2.0, 2.0 / steps)(start)
        errors.append((result - start / (1 + 2 * start)).abs().max().item())
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert 3.6 < min(orders) < max(orders) < 4.6, orders
