import math

import torch

from lines import on_line
from ups.models.normalizer import Normalizer, fit_normalizer
from ups.streams import stream
from ups.types import Trajectory

FIELDS = on_line(
    ("rho", "u"), ("kg/m^3", "m/s"), 1.0, 0.1, params=("nu", "speed", "shift", "constant"), cells=16
)


def trajectory(num=64):
    values = torch.randn(num, 5, 2, 16, generator=stream(0, "v")) * torch.tensor([2.0, 0.01])[:, None]
    exponent = torch.linspace(-3, 0, num)
    params = torch.stack(
        [10**exponent, torch.linspace(1, 2, num), torch.linspace(-3, 9, num), torch.full((num,), 0.001)],
        dim=1,
    )
    return Trajectory(values + torch.tensor([1e3, 5.0])[:, None], params, FIELDS)


def test_each_field_gets_mean_zero_and_deviation_one_over_the_training_split():
    train = trajectory()
    frames = fit_normalizer(train).normalize(train.values.flatten(0, 1)).double()
    assert frames.mean(dim=(0, 2)).abs().max() < 1e-2
    assert (frames.std(dim=(0, 2), correction=0) - 1).abs().max() < 1e-3


def test_denormalize_undoes_normalize():
    train = trajectory()
    normalizer, frames = fit_normalizer(train), train.values[:, 0]
    torch.testing.assert_close(
        normalizer.denormalize(normalizer.normalize(frames)), frames, rtol=1e-6, atol=1e-6
    )


def test_a_constant_field_is_centred_only():
    train = trajectory()
    train.values[:, :, 0] = 7.0
    out = fit_normalizer(train).normalize(train.values[:, 0])
    assert not out[:, 0].any()


def test_parameters_over_decades_are_taken_by_their_logarithm():
    train = trajectory()
    normalizer = fit_normalizer(train)
    assert normalizer.param_is_log.tolist() == [
        True,
        False,
        False,
        False,
    ]  # a span of 2, a change of sign, a constant
    nu = normalizer.normalize_params(train.params)[:, 0]
    torch.testing.assert_close(nu.diff(), nu.diff().mean().expand(63), rtol=1e-3, atol=1e-5)


def test_parameters_that_vary_are_standardized():
    train = trajectory()
    out = fit_normalizer(train).normalize_params(train.params)[:, :3]
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_a_parameter_that_was_constant_is_zero_whatever_comes():
    out = fit_normalizer(trajectory()).normalize_params(torch.tensor([[0.1, 1.0, 0.0, 42.0]]))
    assert out[0, 3] == 0


def test_the_ranges_of_training_are_remembered():
    ranges = fit_normalizer(trajectory()).param_ranges()
    assert math.isclose(ranges[0][0], 1e-3, rel_tol=1e-6)
    assert ranges[2] == (-3.0, 9.0)


def test_the_statistics_are_part_of_the_state():
    fitted, fresh = fit_normalizer(trajectory()), Normalizer(2, 4)
    fresh.load_state_dict(fitted.state_dict())
    params = trajectory().params
    assert torch.equal(fresh.normalize_params(params), fitted.normalize_params(params))
