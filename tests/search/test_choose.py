from dataclasses import replace

import pytest
import torch

from candidates import FIELDS, Dice, Drawn, Truth, advected
from ups.search.calibrate import draw_windows, with_critic
from ups.search.choose import LEAST_GAIN, choose, explain, one_step_errors, refusal
from ups.search.critic import Features
from ups.search.rewards import available
from ups.streams import stream


class NearMean:
    """A reward that knows the mean of the candidates, and nothing of the truth."""

    def __init__(self, noise):
        self.noise, self.generator = noise, stream(0, "near")

    def __call__(self, before, after, params):
        exact = before.roll(1, -1)
        return -(after - exact).square().flatten(1).mean(1).sqrt()


def drawn(rewards, size=0.3, data=None, stepper=None):
    features = Features(available(FIELDS, None), FIELDS.grid)
    data = data or advected(num=24, num_frames=12)
    return draw_windows(
        [stepper or Drawn(size=size)], [8], Drawn(size=0.0), rewards, features, data, stream(0, "choose")
    )


def judged(windows, weights):
    chosen = choose(windows, weights)
    return chosen, explain(with_critic(windows.of(chosen.judging), chosen.critic), chosen.factors)


class Mixed(Drawn):
    """Candidates of which some are far better than others, so that their mean is not."""

    def advance(self, state, generator=None):
        frame, params = state
        coin = torch.rand(len(frame), 1, 1, generator=generator)
        noise = torch.randn(frame.shape, generator=generator)
        return frame.roll(1, -1) + torch.where(coin < 0.5, 0.01, 0.5) * noise, params


def test_the_reward_that_knows_the_error_is_chosen_and_search_is_not_refused():
    rewards = {"energy_decay": Dice(), "residual": Truth(), "total_variation": Dice(1)}
    windows = drawn(rewards, stepper=Mixed())
    chosen, (numbers, lines) = judged(windows, {})
    assert chosen.factors.keys() == {"residual"}
    assert numbers["beyond_mean_low"] > 0.2
    assert numbers["gain"] == pytest.approx(numbers["ceiling"])
    assert refusal(numbers) == ""
    assert all("\n" not in line for line in lines)
    assert "did not choose it" in lines[0]


def test_even_a_perfect_choice_is_refused_where_the_mean_of_as_many_is_better():
    _, (numbers, _) = judged(drawn({"residual": Truth()}), {})
    assert numbers["beyond_mean_low"] > 0.9
    assert "at the same calls" in refusal(numbers)


def test_dice_are_refused_with_their_correlation():
    windows = drawn({"energy_decay": Dice()})
    _, (numbers, _) = judged(windows, {"energy_decay": 1.0})
    assert "does not know which candidate errs least: rank correlation" in refusal(numbers)


def test_candidates_that_are_all_alike_leave_nothing_to_choose():
    class Off(Drawn):
        def decode(self, state):
            return state[0] + 1.0

    features = Features(available(FIELDS, None), FIELDS.grid)
    data = advected(num=24, num_frames=12)
    windows = draw_windows(
        [Off(size=1e-4)], [8], Off(size=0.0), {"residual": Truth()}, features, data, stream(0, "choose")
    )
    _, (numbers, _) = judged(windows, {})
    assert numbers["ceiling"] < LEAST_GAIN
    assert "even a perfect choice takes only" in refusal(numbers)


def test_knowing_the_mean_alone_is_refused():
    numbers = {
        "ceiling": 0.2,
        "ceiling_low": 0.18,
        "rank_correlation": 0.5,
        "rank_correlation_low": 0.4,
        "rank_correlation_high": 0.6,
        "beyond_mean": 0.02,
        "beyond_mean_low": -0.1,
        "beyond_mean_high": 0.1,
    }
    assert "no more than how far a candidate is from their mean" in refusal(numbers)
    assert refusal(numbers | {"beyond_mean_low": 0.01}) == ""
    mean = {"beyond_mean_low": 0.01, "gain": 0.1, "gain_high": 0.15, "gain_of_mean": 0.3}
    assert "the mean of as many 30 % at the same calls" in refusal(numbers | mean | {"gain_of_mean_low": 0.2})
    assert refusal(numbers | mean | {"gain_of_mean_low": 0.12}) == ""
    assert refusal(numbers | {"rank_correlation_low": float("nan")}) != ""


def test_halves_do_not_meet_and_units_make_kinds_of_rewards_alike():
    windows = drawn({"residual": Truth(), "energy_decay": lambda b, a, p: 1e6 * Truth()(b, a, p)})
    chosen = choose(windows, {"residual": 1.0, "energy_decay": 2.0})
    assert chosen.factors["residual"] / chosen.factors["energy_decay"] == pytest.approx(0.5e6, rel=1e-6)
    choosing = set(windows.trajectory.unique().tolist()) - set(chosen.judging.tolist())
    assert len(choosing) == len(chosen.judging) == 12


def test_one_step_errors_are_of_true_frames():
    data = advected(num=5)
    assert one_step_errors(Drawn(size=0.0), data).max() == 0
    assert torch.tensor(one_step_errors(_Late(), data)).min() > 0.5


class _Late(Drawn):
    def advance(self, state, generator=None):
        return state


def test_too_few_trajectories_are_no_reason_to_search():
    assert "fewer than 4 validation trajectories" in refusal({})
    windows = drawn({"energy_decay": Dice(), "residual": Truth()}, data=advected(num=2, num_frames=12))
    assert choose(windows, {}).factors.keys() == {"residual"}


def test_what_judges_changes_nothing_that_is_chosen():
    windows = drawn({"energy_decay": Dice(), "residual": Truth()})
    chosen = choose(windows, {})
    judging = torch.isin(windows.trajectory, chosen.judging)
    spoiled = {
        name: torch.where(judging[:, None], 100 * values, values) for name, values in windows.rewards.items()
    }
    errors = torch.where(judging[:, None], windows.errors.flip(2), windows.errors)
    again = choose(replace(windows, rewards=spoiled, errors=errors), {})
    assert again.factors == chosen.factors
    assert torch.equal(again.critic, chosen.critic)
