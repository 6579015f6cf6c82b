import torch

from candidates import Drawn, advected
from ups.evaluation.rollout import rollout
from ups.search.mean import MeanOf
from ups.streams import stream


def test_the_mean_of_one_is_the_stepper_and_of_many_errs_less_by_the_root_of_their_number():
    data = advected(num=300)
    truth = data.values[:, 1]

    def error(stepper):
        made = rollout(stepper, data.values[:, :1], data.params, 1, generator=stream(0, "noise"))[0, :, 0]
        return (made - truth).square().mean().sqrt().item()

    assert error(MeanOf(Drawn(), 1)) == error(Drawn())
    assert abs(error(MeanOf(Drawn(), 16)) / error(Drawn()) - 0.25) < 0.02


def test_members_are_followed_on_their_own_and_their_calls_are_counted():
    data, stepper = advected(), Drawn()
    mean = MeanOf(stepper, 4)
    state = mean.encode(data.values[:, :2], data.params)
    for _ in range(3):
        state = mean.advance(state, stream(0, "noise"))
    assert stepper.calls == 3 * 4 * len(data)
    assert mean.calls_per_frame == 4
    members = state[0].unflatten(0, (-1, 4))
    assert members.std(1).min() > 0
    assert torch.allclose(mean.decode(state), members.mean(1))
