import pytest
import torch
from torch import nn

from correctors import corrected
from ups.search.calls import affordable, network_calls


def test_a_corrector_calls_its_operator_and_its_own_network():
    top = corrected(num_steps=4)
    assert network_calls(top) == 1 + top.calls_per_frame
    assert network_calls(top.emulator) == 1
    top.emulator.codec.weight = nn.Parameter(torch.ones(1))
    assert network_calls(top) == 2 + top.calls_per_frame  # a codec that is trained is a network too


@pytest.mark.parametrize(
    ("budget", "counts"), [(None, (8, 1)), (17, (8, 1)), (16, (7, 1)), (5, (2, 1)), (2, (0, 1))]
)
def test_a_budget_is_never_overdrawn_and_never_left_where_a_candidate_fits(budget, counts):
    found = affordable((8, 1), (2, 1), budget)
    assert found == counts
    if budget is not None:
        assert 2 * found[0] + found[1] <= budget


def test_a_budget_below_one_candidate_is_an_error():
    with pytest.raises(ValueError, match="does not pay for one candidate of 3"):
        affordable((4,), (3,), 2)
