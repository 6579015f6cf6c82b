import pytest
import torch
from torch import nn

from ups.config import override
from ups.control.planner import Planner, improve
from ups.streams import stream
from ups.types import UserError


class Sum(nn.Module):
    """A number that actions are added to: x' = x + a_0 - a_1 / 2."""

    takes_actions, num_context = True, 1

    def encode(self, context, params, actions):
        return context[:, -1, 0, 0], actions[:, context.shape[1] - 1 :]

    def advance(self, state, generator=None):
        x, plan = state
        return x + plan[:, 0, 0] - plan[:, 0, 1] / 2, plan[:, 1:]

    def decode(self, state):
        return state[0][:, None, None].expand(-1, 1, 4)


def planned(planner, start, bound=100.0, target=0.0):
    history = torch.tensor(start)[:, None, None, None].expand(-1, 3, 1, 4).contiguous()
    episodes = len(start)

    def cost(frames):
        return (frames - target).square().flatten(2).mean(2)

    return improve(
        planner,
        Sum(),
        history,
        torch.zeros(episodes, 0),
        torch.zeros(episodes, 2, 2),
        torch.zeros(episodes, planner.horizon, 2),
        cost,
        bound,
        stream(0, "plan"),
    )


def test_a_plan_brings_each_episode_to_its_target_within_the_limits_of_the_actions():
    planner = Planner(horizon=4, hold=1, num_plans=200, num_elites=10, num_iterations=8)
    plan = planned(planner, [0.9, -0.6, 3.0])
    assert plan.shape == (3, 4, 2)
    assert plan.abs().max() <= 1
    moved = (plan[..., 0] - plan[..., 1] / 2).cumsum(1)
    assert torch.allclose(moved[:2, 1:], torch.tensor([[-0.9], [0.6]]).expand(2, 3), atol=0.15)
    assert moved[2, 1] < -2.0  # as fast as it can


def test_more_iterations_are_better_than_shooting_at_random():
    def left(iterations):
        planner = Planner(horizon=3, hold=1, num_plans=32, num_elites=4, num_iterations=iterations)
        plan = planned(planner, [0.9, -0.6, 0.4, 1.2])
        start = torch.tensor([0.9, -0.6, 0.4, 1.2])
        return (start + plan[:, 0, 0] - plan[:, 0, 1] / 2).abs().mean()

    assert left(6) < left(1)


def test_a_bound_is_worth_more_than_any_cost():
    planner = Planner(horizon=2, hold=2, num_plans=300, num_elites=10, num_iterations=6)
    free = planned(planner, [0.0], target=1.4)
    bounded = planned(planner, [0.0], target=1.4, bound=0.5)
    reach = [plan[0, :, 0].sum() - plan[0, :, 1].sum() / 2 for plan in (free, bounded)]
    assert reach[0] > 1.0
    assert reach[1] < 0.6


def test_an_action_is_held():
    plan = planned(Planner(horizon=5, hold=2), [0.5])
    assert torch.equal(plan[:, 0], plan[:, 1])
    assert torch.equal(plan[:, 2], plan[:, 3])


def test_elites_are_fewer_than_plans():
    with pytest.raises(UserError, match="not fewer than num_plans"):
        override(Planner(), ["num_elites=16"])
