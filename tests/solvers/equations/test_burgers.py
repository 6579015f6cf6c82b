import torch

from equation_cases import centers
from ups.solvers.equations.burgers import Burgers
from ups.types import line


def test_viscous_burgers_tends_to_the_inviscid_shock():
    num_cells = 512
    x = centers(num_cells, 1.0)
    u0 = torch.where((x > 0.2) & (x < 0.5), 1.0, 0.0)[None].double()
    results = [Burgers(nu).propagator(0.2, line(num_cells, 1.0))(u0) for nu in (0.0, 1e-3, 1e-2, 1e-1)]
    distances = [(r - results[0]).abs().mean().item() for r in results[1:]]
    assert distances[0] < distances[1] < distances[2]
    assert distances[0] < 5e-3
