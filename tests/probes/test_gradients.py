import math

import pytest
import torch

from ups.probes.gradients import gradient, module_norms, norm
from ups.probes.products import flatten


def test_the_gradient_is_that_of_the_tape_and_leaves_nothing_behind(case):
    leaves = {name: p.clone().requires_grad_() for name, p in case.params.items()}
    expected = torch.autograd.grad(case.objective(leaves), list(leaves.values()))
    found = gradient(case.objective, leaves)
    torch.testing.assert_close(flatten(found), torch.cat([g.flatten() for g in expected]))
    assert all(leaf.grad is None for leaf in leaves.values())
    assert not any(g.requires_grad for g in found.values())


def test_the_norm_is_that_of_all_entries(case):
    found = gradient(case.objective, case.params)
    assert norm(found) == pytest.approx(flatten(found).norm().item(), rel=1e-12)


def test_the_norm_of_large_single_precision_vectors_does_not_stall():
    ones = {"p": torch.full((5_000_000,), 0.1)}
    assert norm(ones) == pytest.approx(0.1 * math.sqrt(5_000_000), rel=1e-7)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_squares_of_the_modules_add_up(case, depth):
    found = gradient(case.objective, case.params)
    norms = module_norms(found, depth)
    assert math.sqrt(sum(n**2 for n in norms.values())) == pytest.approx(norm(found), rel=1e-12)


def test_modules_are_named_by_their_place():
    vector = {name: torch.ones(4) for name in ("down.0.weight", "down.0.bias", "down.1.weight", "head.bias")}
    assert module_norms(vector) == pytest.approx({"down": math.sqrt(12), "head": 2.0})
    depths = {"down.0": math.sqrt(8), "down.1": 2.0, "head.bias": 2.0}
    assert module_norms(vector, depth=2) == pytest.approx(depths)
