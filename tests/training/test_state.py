import math

import pytest
import torch
import toy

from ups.training.state import State, load_weights, weights


def advance(state, updates, settings):
    for _ in range(updates):
        loss = state.model.advance(torch.ones(1, 1, 8).cumsum(-1)).square().sum()
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.ema.update()
        state.update += 1


def test_a_restored_state_goes_on_to_the_bit():
    settings = toy.settings()
    whole = State.start(toy.Shift(), settings)
    advance(whole, 3, settings)
    whole.keep_if_best(0.5)
    whole.keep_if_best(0.7)
    tensors, numbers = {k: v.clone() for k, v in whole.tensors().items()}, whole.numbers()
    advance(whole, 4, settings)

    again = State.start(toy.Shift(seed=9), settings)
    again.restore(tensors, numbers)
    assert (again.best_score, again.best_update, again.since_best) == (0.5, 3, 1)
    advance(again, 4, settings)
    assert again.numbers() == whole.numbers()
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name


def test_only_a_better_score_replaces_the_best_weights():
    state = State.start(toy.Shift(), toy.settings())
    state.keep_if_best(float("nan"))
    assert state.best == {}
    state.keep_if_best(1.0)
    kept = state.best["kernel"].clone()
    state.ema.average["kernel"] += 1
    state.keep_if_best(2.0)
    assert torch.equal(state.best["kernel"], kept)
    state.keep_if_best(0.5)
    assert torch.equal(state.best["kernel"], state.ema.average["kernel"])


def test_scores_since_the_best_are_counted_and_nan_is_one_of_them():
    state = State.start(toy.Shift(), toy.settings())
    counts = []
    for score in (3.0, 3.0, math.nan, 2.0, 4.0):
        state.keep_if_best(score)
        counts.append(state.since_best)
    assert counts == [0, 1, 2, 0, 1]


def test_the_best_weights_are_the_average_with_the_models_buffers():
    model = toy.Shift()
    model.register_buffer("scale", torch.tensor(7.0))
    state = State.start(model, toy.settings())
    state.ema.average["kernel"] += 1
    state.keep()
    assert state.best["scale"] == 7
    torch.testing.assert_close(state.best["kernel"], model.kernel + 1)


def test_weights_of_another_model_are_refused():
    with pytest.raises(ValueError, match="another model"):
        load_weights(toy.Shift(), weights(torch.nn.Linear(1, 1)))
