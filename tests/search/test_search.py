"""The truths of a search: a perfect reward finds the best, a blind one finds nothing, and calls are counted."""

import numpy as np
import pytest
import torch

from candidates import Dice, Drawn, Truth, advected
from ups.evaluation.rollout import rollout
from ups.search.search import Search, traced
from ups.search.settings import SearchSettings
from ups.statistics.bootstrap import bootstrap_mean
from ups.streams import stream


def search(judge=None, stepper=None, **settings):
    settings = SearchSettings(**settings)
    return Search([stepper or Drawn()], [settings.num_candidates], judge or Truth(), settings)


def one_step(stepper, data, seed=0):
    return rollout(stepper, data.values[:, :1], data.params, 1, generator=stream(seed, "noise"))[0, :, 0]


def errors(made, data):
    return (made - data.values[:, 1]).square().flatten(1).mean(1).sqrt()


def test_one_candidate_is_the_plain_rollout_to_the_last_bit():
    data = advected()
    plain, searched = (
        rollout(stepper, data.values[:, :2], data.params, 5, 3, stream(1, "noise"))
        for stepper in (Drawn(), search(num_candidates=1))
    )
    assert torch.equal(plain, searched)


def test_with_a_perfect_reward_it_is_the_oracle_best_of_n_exactly():
    data = advected(num=20)
    drawn = rollout(Drawn(), data.values[:, :1], data.params, 1, 8, stream(3, "noise"))[:, :, 0]
    best = torch.stack([errors(member, data) for member in drawn]).amin(0)
    found = errors(one_step(search(num_candidates=8), data, seed=3), data)
    assert torch.equal(found, best)


def test_with_a_blind_reward_it_is_a_random_candidate():
    data = advected(num=400)
    blind = errors(one_step(search(Dice(), num_candidates=8), data), data)
    single = errors(one_step(Drawn(), data, seed=9), data)
    differs = bootstrap_mean((blind - single).numpy())
    assert differs.low < 0 < differs.high


def test_each_trajectory_takes_its_own_candidate_and_the_same_one_alone():
    class Told(Drawn):  # candidates follow from the state, so that a trajectory has the same ones alone
        def advance(self, state, generator=None):
            frame, params = state
            count = torch.arange(len(frame)) // self.batch
            return frame.roll(1, -1) + 0.1 * torch.sin(40 * frame + count[:, None, None]), params

    data = advected(num=12)
    whole, alone = Told(), Told()
    whole.batch, alone.batch = 12, 1
    step = next(iter(traced(search(stepper=whole), data.values[:, :1], data.params, 1)))
    assert len(step.chosen.unique()) > 1
    for row in range(12):
        only = next(iter(traced(search(stepper=alone), data.values[row : row + 1, :1], data.params[:1], 1)))
        assert only.chosen.item() == step.chosen[row]
        assert torch.equal(only.state.frame[0], step.state.frame[row])


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({"num_candidates": 8}, 8),
        ({"num_candidates": 8, "beam": 3, "horizon": 2}, 8 + 3 * 8),
        ({"num_candidates": 8, "beam": 3, "horizon": 3}, 8 + 2 * 3 * 8),
        ({"num_candidates": 8, "beam": 3, "horizon": 3, "max_calls": 40}, 8 + 24 + 6),
        ({"num_candidates": 8, "max_calls": 5}, 5),
    ],
)
def test_calls_are_counted_exactly(settings, calls):
    data, stepper = advected(num=5), Drawn()
    made = search(stepper=stepper, **settings)
    assert made.calls_per_frame == calls
    steps = list(traced(made, data.values[:, :1], data.params, 3, stream(0, "noise")))
    assert all((step.calls == calls).all() for step in steps)
    assert stepper.calls == 5 * 3 * calls


def test_where_the_best_is_clear_nothing_is_looked_ahead_for_and_nothing_is_paid():
    data, stepper = advected(num=30), Drawn()
    made = search(stepper=stepper, num_candidates=4, beam=2, horizon=2, clear=1.0)
    (step,) = traced(made, data.values[:, :1], data.params, 1, stream(0, "noise"))
    best = step.rewards.topk(2, 0).values
    clear = best[0] - best[1] > step.rewards.std(0)
    assert 0 < clear.sum() < 30
    assert torch.equal(step.calls, torch.where(clear, 4, 12))
    assert stepper.calls == step.calls.sum()
    assert torch.equal(step.chosen[clear], step.rewards.argmax(0)[clear])


def test_a_beam_takes_the_step_that_leads_to_the_best_path():
    class Trap(Drawn):  # candidate 1 is worth less now and more a frame later
        def advance(self, state, generator=None):
            frame, params = state
            first = torch.arange(len(frame)) >= len(frame) // 2
            return torch.where(first[:, None, None], frame + 1, frame), params

    def judge(before, after, params):
        start, rise = before.flatten(1).mean(1), (after - before).flatten(1).mean(1)
        return torch.where(rise > 0.5, -0.1, 0.0) + torch.where(start > 0.5, 1.0, 0.0)

    data = advected(num=3)
    frames = torch.zeros_like(data.values[:, :1])
    greedy = search(judge, Trap(), num_candidates=2)
    ahead = search(judge, Trap(), num_candidates=2, beam=2, horizon=2)
    for made, chosen in ((greedy, 0), (ahead, 1)):
        (step,) = traced(made, frames, data.params, 1)
        assert (step.chosen == chosen).all()
    discounted = search(judge, Trap(), num_candidates=2, beam=2, horizon=2, discount=0.05)
    (step,) = traced(discounted, frames, data.params, 1)
    assert (step.chosen == 0).all()


def test_candidates_of_two_steppers_compete_and_one_that_is_not_finite_never_wins():
    class Lost(Drawn):
        def decode(self, state):
            return state[0] * torch.nan

    data = advected()
    exact = Drawn(size=0.0)
    made = Search([Drawn(), exact], [3, 1], Truth(), SearchSettings(num_candidates=4))
    (step,) = traced(made, data.values[:, :1], data.params, 1, stream(0, "noise"))
    assert (step.chosen == 3).all()
    assert step.rewards.shape == (4, 6)
    made = Search([Lost(), Drawn()], [3, 1], Truth(), SearchSettings(num_candidates=4))
    made.steppers[1].size = 10.0
    context = data.values[:, :1]
    state = made.encode(context, data.params)
    step = made.step(state._replace(frame=context[:, -1]), stream(0, "noise"))
    assert (step.chosen == 3).all()


def test_more_candidates_are_never_worse_with_a_perfect_reward():
    data = advected(num=200)
    found = [
        errors(one_step(search(num_candidates=n), data, seed=n), data).mean().item()
        for n in (1, 2, 4, 8, 16, 32, 64)
    ]
    assert np.all(np.diff(found) < 0)
