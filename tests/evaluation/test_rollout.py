import torch
from known_steppers import Noisy, Roll, advected

from ups.evaluation.rollout import rollout
from ups.streams import stream


def test_an_exact_stepper_reproduces_the_truth_to_the_last_bit():
    data = advected()
    forecast = rollout(Roll(), data.values[:, :3], data.params, num_steps=11)
    assert forecast.shape == (1, 6, 11, 1, 16)
    assert torch.equal(forecast[0], data.values[:, 3:])


def test_members_of_a_deterministic_stepper_are_equal_and_start_from_their_own_trajectory():
    data = advected()
    forecast = rollout(Roll(), data.values[:, :1], data.params, num_steps=2, num_members=3)
    for member in forecast:
        assert torch.equal(member, data.values[:, 1:3])


def test_members_of_a_stochastic_stepper_differ_and_the_generator_fixes_them():
    data = advected()
    first, second = (
        rollout(Noisy(), data.values[:, :1], data.params, 3, num_members=2, generator=stream(1, "noise"))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_one_generator_leaves_the_global_one_alone():
    data = advected()
    before = torch.get_rng_state()
    rollout(Noisy(), data.values[:, :1], data.params, 3, generator=stream(1, "noise"))
    assert torch.equal(torch.get_rng_state(), before)


def test_no_gradient_is_recorded():
    data = advected()
    assert not rollout(Roll(), data.values[:, :1].requires_grad_(), data.params, 2).requires_grad
