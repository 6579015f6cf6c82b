import math

import pytest
import torch
import toy
from torch import nn

from ups.training.optim import clip_gradient, learning_rate, make_optimizer, trainable


def test_the_cosine_schedule_has_its_known_values():
    settings = toy.settings(learning_rate=1.0, warmup=10)
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(settings, 9, 0.0) == 1.0
    assert learning_rate(settings, 500, 0.5) == pytest.approx(0.5)
    assert learning_rate(settings, 500, 1 / 3) == pytest.approx(0.75)
    assert learning_rate(settings, 999, 1.0) == pytest.approx(0.0)


def test_the_constant_schedule_is_constant_after_the_warm_up():
    settings = toy.settings(learning_rate=0.3, warmup=4, schedule="constant")
    assert [learning_rate(settings, u, u / 10) for u in range(6)] == pytest.approx([
        0.075,
        0.15,
        0.225,
        0.3,
        0.3,
        0.3,
    ])


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate(toy.settings(learning_rate=0.3, warmup=0), 0, 0.0) == 0.3


def test_with_no_gradient_only_matrices_decay():
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.GroupNorm(1, 3), nn.Linear(4, 4))
    model[2].weight.requires_grad_(False)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, toy.settings(weight_decay=0.5, learning_rate=0.1))
    for parameter in trainable(model).values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = dict(model.named_parameters())
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * (1 - 0.1 * 0.5))
    for name in before.keys() - {"0.weight"}:
        assert torch.equal(after[name], before[name]), name


def test_adam_moves_by_the_learning_rate_at_first():
    model = nn.Linear(3, 3)
    before = model.weight.detach().clone()
    optimizer = make_optimizer(model, toy.settings(weight_decay=0.0, learning_rate=0.01))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(before - model.weight, torch.full((3, 3), 0.01), rtol=1e-4, atol=0)


def test_clipping_returns_the_norm_before_it_and_leaves_short_gradients_alone():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]

    def give(scale):
        parameters[0].grad = scale * torch.tensor([2.0, 3.0])
        parameters[1].grad = scale * torch.tensor([6.0])

    give(1.0)
    assert clip_gradient(parameters, 1.0) == pytest.approx(7.0)
    assert math.hypot(*parameters[0].grad.tolist(), parameters[1].grad.item()) == pytest.approx(1.0, rel=1e-5)
    give(0.01)
    assert clip_gradient(parameters, 1.0) == pytest.approx(0.07)
    assert parameters[1].grad.item() == pytest.approx(0.06)
    give(1.0)
    assert clip_gradient(parameters, None) == pytest.approx(7.0)
    assert parameters[1].grad.item() == 6.0
