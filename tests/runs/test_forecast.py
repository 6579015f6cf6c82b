import warnings

import numpy as np
import pytest
import torch

import ups
from tiny_recipe import tiny
from ups.data.export import write_npz
from ups.evaluation.rollout import rollout
from ups.models.baselines import Persistence
from ups.runs.pipeline import load
from ups.types import UserError


@pytest.fixture(scope="module")
def operator(tiny_run):
    return ups.load(tiny_run)


@pytest.fixture(scope="module")
def test_split():
    return load(tiny()).test


def test_arrays_of_any_kind_give_the_same_forecast(operator, test_split):
    context, params = test_split.values[:, :2], test_split.params
    expected = rollout(operator, context, params, 3)
    for given in (context, context.double(), context.numpy(), context.double().numpy(), context.tolist()):
        for told in (params, params.numpy(), params[0], [params[0, 0].item()]):
            assert torch.equal(ups.rollout(operator, given, told, num_steps=3), expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((32,), r"context has shape \[32\]; expected \[batch, time, field, cells\], all of them"),
        ((1, 2, 32), r"expected \[batch, time, field, cells\]"),
        ((1, 2, 2, 32), r"the stepper knows the fields u on 32 cells, so it expects \[batch, time, 1, 32\]"),
        ((1, 2, 1, 64), r"it expects \[batch, time, 1, 32\]"),
        ((1, 0, 1, 32), "context has 0 frames, the stepper needs 1"),
    ],
)
def test_another_shape_is_one_line_that_says_which_is_expected(operator, shape, message):
    with pytest.raises(UserError, match=message):
        ups.rollout(operator, np.zeros(shape), [0.4], 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (None, r"params have shape \[2, 0\]; expected \[2, 1\] \(speed\)"),
        ([0.4, 0.4], r"params have shape \[2\]; expected \[2, 1\]"),
        ([[0.4]], r"params have shape \[1, 1\]; expected \[2, 1\]"),
        ("fast", "params is no array of numbers"),
        ([1 + 1j], "params is complex"),
        ([float("nan")], "params holds NaN or Inf"),
    ],
)
def test_other_parameters_are_one_line(operator, params, message):
    with pytest.raises(UserError, match=message):
        ups.rollout(operator, np.zeros((2, 1, 1, 32)), params, 1)


def test_a_parameter_outside_of_the_training_is_warned_of(operator, test_split):
    with pytest.warns(UserWarning, match=r"speed is 9 to 9, trained on 0\.4 to 0\.4"):
        ups.rollout(operator, test_split.values[:, :1], [9.0], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ups.rollout(operator, test_split.values[:, :1], test_split.params, 1)


def test_a_stepper_that_was_not_trained_takes_what_fits(test_split):
    forecast = ups.rollout(Persistence(), test_split.values[:, :1].numpy(), None, 2)
    assert torch.equal(forecast[0, :, 1], test_split.values[:, 0])


def test_a_file_is_read_as_the_commands_read_it(test_split, tmp_path):
    write_npz(tmp_path / "a.npz", test_split)
    assert torch.equal(ups.read(str(tmp_path / "a.npz")).values, test_split.values)
    np.save(tmp_path / "b.npy", test_split.values[:, :, 0].numpy())
    how = ("dims=sample time x", "fields=[u]", "dt=0.05", "extent=1", "boundary=periodic")
    assert torch.equal(ups.read(tmp_path / "b.npy", *how).values, test_split.values)
    with pytest.raises(UserError, match="no such file"):
        ups.read("none.h5")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ups.nothing  # noqa: B018
