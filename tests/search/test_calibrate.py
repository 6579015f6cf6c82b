import math

import pytest
import torch

from candidates import FIELDS, Dice, Drawn, Truth, advected
from ups.search.calibrate import (
    HORIZON,
    chosen_error,
    correlation,
    draw_windows,
    over_trajectories,
    rank_correlation,
    skill,
    with_critic,
)
from ups.search.critic import Features
from ups.search.rewards import available
from ups.streams import stream


def windows(rewards, data=None, size=0.3, counts=(8,)):
    features = Features(available(FIELDS, None), FIELDS.grid)
    data = data or advected(num=16, num_frames=12)
    steppers = [Drawn(size=size) for _ in counts]
    return draw_windows(steppers, counts, Drawn(size=0.0), rewards, features, data, stream(0, "calibrate"))


def test_spearman_is_one_for_any_monotone_reward_and_ties_are_shared():
    errors = torch.rand(5, 8, generator=stream(0, "ranks"), dtype=torch.float64)
    assert torch.allclose(rank_correlation(-errors.exp(), errors), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(rank_correlation(errors**3, errors), -torch.ones(5, dtype=torch.float64))
    assert rank_correlation(torch.zeros(5, 8), errors).isnan().all()
    tied = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    order = -torch.arange(4.0, dtype=torch.float64)[None]
    assert rank_correlation(tied, order).item() == pytest.approx(2 / math.sqrt(5))


def test_a_reward_that_only_knows_the_distance_from_the_mean_knows_nothing_beside_it():
    generator = stream(1, "ranks")
    distance = torch.rand(4000, 8, generator=generator, dtype=torch.float64)
    errors = distance + 0.3 * torch.rand(4000, 8, generator=generator, dtype=torch.float64)
    reward = -distance - 0.3 * torch.rand(4000, 8, generator=generator, dtype=torch.float64)
    assert rank_correlation(reward, errors).mean() > 0.6
    assert abs(rank_correlation(reward, errors, distance).nanmean()) < 0.1  # of 0.9 each without
    knows = -errors - 0.3 * torch.rand(4000, 8, generator=generator, dtype=torch.float64)
    assert rank_correlation(knows, errors, distance).nanmean() > 0.3


def test_the_truth_as_a_reward_is_certain_and_dice_are_not():
    found = windows({"residual": Truth(), "energy_decay": Dice()})
    sure, blind = (
        correlation(found, found.rewards["residual"]),
        correlation(found, found.rewards["energy_decay"]),
    )
    assert correlation(found, found.rewards["residual"], partial=False).low == pytest.approx(1.0)
    assert sure.low > 0.9
    assert blind.low < 0 < blind.high
    assert torch.equal(chosen_error(found, found.rewards["residual"][0]), found.errors[0].amin(1))
    assert skill(found.errors[0].amin(1), found.errors[0].mean(1), found).low > 0


def test_windows_hold_the_errors_of_candidates_of_their_mean_and_of_the_operator():
    data = advected(num=16, num_frames=12)
    found = windows({"residual": Truth()}, data)
    unit = data.values.std().item()
    assert found.errors.shape[1:] == (len(found.trajectory), 8)
    assert found.errors[0].mean().item() * unit == pytest.approx(0.3, rel=0.05)
    assert found.mean_error.mean().item() * unit == pytest.approx(0.3 / math.sqrt(8), rel=0.1)
    assert found.base_error.max() == 0  # it is exact
    assert found.distance.square().mean().sqrt().item() * unit == pytest.approx(
        0.3 * math.sqrt(7 / 8), rel=0.05
    )
    # errors of an exact law with noise at every step grow as the root of their number
    assert found.errors.nanmean((1, 2))[HORIZON - 1] / found.errors.nanmean((1, 2))[0] == pytest.approx(
        2.0, rel=0.1
    )


def test_rewards_are_summed_along_the_horizon_and_end_with_the_trajectory():
    found = windows({"residual": Truth()}, advected(num=4, num_frames=6))
    assert (found.rewards["residual"].diff(dim=0).nan_to_num(nan=-1) <= 0).all()
    last = found.rewards["residual"][:, -1]
    assert last[0].isfinite().all()
    assert last[1:].isnan().all()


def test_each_trajectory_counts_once_and_halves_share_none():
    found = windows({"residual": Truth()})
    each = found.trajectory.unique()
    half = found.of(each[::2])
    assert set(half.trajectory.tolist()) == set(each[::2].tolist())
    assert half.errors.shape[1] == found.errors.shape[1] // 2
    values = torch.tensor([1.0, 3.0, 5.0, math.nan])
    assert over_trajectories(values, torch.tensor([0, 0, 1, 2])).tolist() == [2.0, 5.0, 0.0]


def test_a_critic_scores_first_steps_alone():
    found = windows({"residual": Truth()})
    scored = with_critic(found, torch.ones(found.features.shape[2], dtype=torch.float64))
    assert torch.allclose(scored.rewards["critic"][0].double(), found.features.sum(2).double())
    assert scored.rewards["critic"][1:].isnan().all()


def test_candidates_of_several_steppers_stand_in_one_set():
    found = windows({"residual": Truth()}, counts=(5, 2))
    assert found.errors.shape[2] == 7
