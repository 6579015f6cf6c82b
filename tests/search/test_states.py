from typing import NamedTuple

import torch

from ups.search.states import each, joined, repeated, rows_of


class State(NamedTuple):
    tokens: torch.Tensor
    rest: tuple


def state():
    return State(torch.arange(6.0).reshape(3, 2), (torch.arange(3), "a word"))


def test_copies_stand_one_after_the_other_and_rows_are_picked_in_every_tensor():
    twice = repeated(state(), 2)
    assert isinstance(twice, State)
    assert twice.rest[0].tolist() == [0, 1, 2, 0, 1, 2]
    picked = rows_of(twice, torch.tensor([4, 0]))
    assert picked.rest[0].tolist() == [1, 0]
    assert torch.equal(picked.tokens, state().tokens[[1, 0]])
    assert picked.rest[1] == "a word"


def test_one_copy_is_the_state_itself():
    whole = state()
    assert repeated(whole, 1) is whole
    assert joined([whole]) is whole


def test_batches_are_joined_and_torn_apart_again():
    whole = joined([state(), each(lambda part: part + 10, state())])
    assert whole.rest[0].tolist() == [0, 1, 2, 10, 11, 12]
    assert torch.equal(rows_of(whole, torch.arange(3)).tokens, state().tokens)
