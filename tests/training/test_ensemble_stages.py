import math
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import toy
from torch import nn

from lines import on_its_grid
from ups.evaluation.uncertainty import fair_crps
from ups.models.normalizer import Normalizer, fit_normalizer
from ups.models.stochastic import StochasticOperator
from ups.streams import stream
from ups.training.ensemble_stages import CRPSForecast, almost_fair_crps
from ups.training.stages import Stage, fraction_left, gradient_reach

normal = partial(torch.randn, dtype=torch.float64)


@pytest.mark.parametrize("num_members", [2, 3, 5])
def test_wholly_fair_it_is_the_fair_crps_of_the_evaluation(num_members):
    generator = stream(0, "members")
    members, truth = (
        normal(num_members, 4, 3, 2, 8, generator=generator),
        normal(4, 3, 2, 8, generator=generator),
    )
    expected = fair_crps(members, truth, toy.FIELDS)
    torch.testing.assert_close(almost_fair_crps(members, truth, 1.0).mean(-1), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("num_members", [2, 4])
@pytest.mark.parametrize("fairness", [0.0, 0.95])
def test_it_is_the_mixture_of_the_fair_and_the_usual_score_and_the_papers_sum(num_members, fairness):
    generator = stream(0, "members")
    members, truth = normal(num_members, 50, generator=generator), normal(50, generator=generator)
    accuracy = (members - truth).abs().mean(0)
    distance = (members[:, None] - members).abs().sum((0, 1)) / 2
    usual = accuracy - distance / num_members**2
    fair = accuracy - distance / (num_members * (num_members - 1))
    score = almost_fair_crps(members, truth, fairness)
    torch.testing.assert_close(score, fairness * fair + (1 - fairness) * usual)
    epsilon, total = (1 - fairness) / num_members, torch.zeros(50, dtype=torch.float64)
    for j in range(num_members):
        for k in range(num_members):
            if j != k:  # a sum of terms none of which is negative
                x, y = members[j], members[k]
                total += (x - truth).abs() + (y - truth).abs() - (1 - epsilon) * (x - y).abs()
    torch.testing.assert_close(score, total / (2 * num_members * (num_members - 1)))
    assert (score > 0).all()


def test_a_member_gone_astray_costs_nothing_when_wholly_fair_and_something_when_almost():
    truth, astray = torch.zeros(1), torch.tensor([[0.0], [0.0], [7.0]])
    assert almost_fair_crps(astray, truth, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert almost_fair_crps(astray, truth, 0.95).item() > 0.03


@pytest.mark.parametrize("num_members", [2, 4])
def test_a_calibrated_ensemble_has_the_best_score_whatever_its_size_if_the_score_is_fair(num_members):
    generator = stream(0, "toy")
    noise, truth = normal(num_members, 200_000, generator=generator), normal(200_000, generator=generator)
    fair = {
        std: almost_fair_crps(std * noise, truth, 1.0).mean().item() for std in (0.0, 0.8, 1.0, 1.25, 2.0)
    }
    assert min(fair, key=fair.__getitem__) == 1.0
    assert fair[1.0] == pytest.approx(1 / math.sqrt(math.pi), rel=0.01)  # the CRPS of N(0, 1) for itself
    almost = {std: almost_fair_crps(std * noise, truth, 0.95).mean().item() for std in (0.8, 1.0, 1.25)}
    assert min(almost, key=almost.__getitem__) == 1.0
    usual = {std: almost_fair_crps(std * noise, truth, 0.0).mean().item() for std in (0.8, 1.0)}
    assert usual[0.8] < usual[1.0]  # small ensembles gain by too little spread


class Diffuse(nn.Module):
    """u' = u + std noise, the spread learned."""

    num_context = 1

    def __init__(self, std, scale=1.0):
        super().__init__()
        self.std = nn.Parameter(torch.tensor(float(std)))
        self.normalizer = Normalizer(1, 1)
        self.normalizer.std.fill_(scale)

    def encode(self, context, params):
        return context[:, -1]

    def advance(self, state, generator=None):
        return state + self.std * torch.randn(state.shape, generator=generator)

    def decode(self, state):
        return state


def walks(num=500, frames=3, std=0.5, cells=8):
    """Random walks: the spread of the truth is known at every frame."""
    steps = torch.randn(num, frames, 1, cells, generator=stream(0, "walks"))
    return on_its_grid((std * steps).cumsum(1), torch.ones(num, 1), toy.FIELDS)


def test_the_gradient_of_the_stage_points_to_the_true_spread():
    slopes = []
    for std in (0.3, 0.5, 0.8):
        stage = CRPSForecast("crps", Diffuse(std), ((0.0, 2),), num_members=4, fairness=1.0)
        loss, _ = stage.loss(walks(4000), stream(0, "members"))
        (slope,) = torch.autograd.grad(loss.mean(), [stage.stepper.std])
        slopes.append(slope.item())
    assert slopes[0] < -0.1 < -0.02 < slopes[1] < 0.02 < 0.1 < slopes[2]


def test_the_loss_is_the_score_of_a_rollout_in_units_of_the_deviation_in_training():
    data, scale = walks(6), 4.0
    loss, parts = CRPSForecast("crps", Diffuse(0.7, scale), num_members=3, fairness=0.9).loss(
        data, stream(0, "members")
    )
    generator = stream(0, "members")
    one = data.values[:, 0].repeat(3, 1, 1)
    one = one + 0.7 * torch.randn(one.shape, generator=generator)
    two = one + 0.7 * torch.randn(one.shape, generator=generator)
    members = torch.stack([one, two], 1).unflatten(0, (3, 6))
    expected = almost_fair_crps(members, data.values[:, 1:], 0.9).mean((1, 2, 3)) / scale
    torch.testing.assert_close(loss, expected)
    still = (data.values[:, :1] - data.values[:, 1:]).abs().mean((1, 2, 3)) / scale
    torch.testing.assert_close(parts["trivial"], still)


def test_each_field_counts_in_units_of_its_own():
    data = toy.waves(4, frames=3)
    both = torch.cat([data.values, 1e3 * data.values], 2)
    stepper = Diffuse(0.0)
    stepper.normalizer = Normalizer(2, 1)
    stepper.normalizer.std.copy_(torch.tensor([1.0, 1e3]))
    one, _ = CRPSForecast("crps", Diffuse(0.0)).loss(data, stream(0, "members"))
    two, _ = CRPSForecast("crps", stepper).loss(
        on_its_grid(both, data.params, toy.FIELDS), stream(0, "members")
    )
    torch.testing.assert_close(one, two)


def test_persistence_leaves_the_whole_trivial_loss_and_the_law_of_the_data_its_own_share():
    data = [(walks(4000, frames=2), stream(1, "members"))]
    assert fraction_left(CRPSForecast("crps", Diffuse(0.0)), data) == pytest.approx(1.0)
    # CRPS sigma / sqrt(pi) over mean |N(0, sigma)| = sigma sqrt(2 / pi)
    left = fraction_left(CRPSForecast("crps", Diffuse(0.5), fairness=1.0), data)
    assert left == pytest.approx(1 / math.sqrt(2), rel=0.02)


def test_the_gradient_runs_through_the_whole_unroll():
    @dataclass
    class Factor:
        factor: torch.Tensor
        normalizer: Normalizer
        num_context: int = 1

        def encode(self, context, params):
            return context[:, -1]

        def advance(self, state, generator=None):
            return state * self.factor

        def decode(self, state):
            return state

    factor = torch.tensor(0.5, requires_grad=True)
    data = on_its_grid(torch.ones(1, 4, 1, 2), torch.ones(1, 1), toy.FIELDS)
    stage = CRPSForecast("crps", Factor(factor, Normalizer(1, 1)), ((0.0, 3),))
    loss, _ = stage.loss(data, stream(0, "unused"))
    loss.sum().backward()
    # d/da mean_k |a^k - 1| = -mean_k k a^(k-1)
    assert factor.grad.item() == pytest.approx(-sum(k * 0.5 ** (k - 1) for k in (1, 2, 3)) / 3)


def test_the_loss_reaches_every_parameter_of_the_stochastic_operator():
    data = toy.waves(4, frames=3)
    settings = StochasticOperator(
        width=8, num_blocks=2, modes=8, kernel_size=3, noise_channels=2, noise_dim=2
    )
    baseline = settings.build(data.fields, fit_normalizer(data), stream(0, "init"))
    stage = CRPSForecast("crps", baseline, ((0.0, 2),), settings.num_members, settings.fairness)
    gradient_reach(stage, data, stream(0, "reach"))
    baseline.condition.register_forward_hook(lambda module, given, embedded: embedded.detach())
    with pytest.raises(ValueError, match=r"condition\.linear\.weight, condition\.linear\.bias"):
        gradient_reach(stage, data, stream(0, "reach"))


def test_it_is_a_stage_with_windows_of_the_phase():
    stage = CRPSForecast("crps", Diffuse(1.0), ((0.0, 1), (0.5, 3)))
    assert isinstance(stage, Stage)
    assert [stage.window(p) for p in (0.0, 0.49, 0.5, 1.0)] == [2, 2, 4, 4]


def test_one_member_has_no_spread_to_learn():
    with pytest.raises(ValueError, match="needs two members"):
        CRPSForecast("crps", Diffuse(1.0), num_members=1)
