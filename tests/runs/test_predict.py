import h5py
import numpy as np
import pytest
import torch

import ups
from tiny_recipe import kicked, tiny
from ups.config import override
from ups.data.pdebench import PDEBench, write_pdebench
from ups.runs.pipeline import load
from ups.runs.predict import predict
from ups.runs.saved import load as load_rung
from ups.types import Trajectory, UserError


@pytest.fixture(scope="module")
def test_split(cache):
    return load(tiny()).test


@pytest.fixture
def source(tmp_path, test_split):
    write_pdebench(tmp_path / "in.hdf5", test_split.values, test_split.fields, test_split.params)
    return PDEBench(file=(tmp_path / "in.hdf5",))


def test_the_forecast_is_the_rollout_in_the_layout_of_the_input(tiny_run, source, tmp_path, test_split):
    predict(tiny_run, source, tmp_path / "out.hdf5", num_steps=5)
    read = PDEBench(file=(tmp_path / "out.hdf5",)).load()
    expected = ups.rollout(ups.load(tiny_run), test_split.values, test_split.params, 5)[0]
    assert torch.equal(read.values[:, 0], test_split.values[:, -1])
    assert torch.equal(read.values[:, 1:], expected)
    assert read.fields.dt == test_split.fields.dt
    assert torch.equal(read.params, test_split.params)


def test_a_baseline_forecasts_from_as_many_frames_as_it_needs(tiny_run, source, tmp_path, test_split):
    predict(tiny_run, source, tmp_path / "out.hdf5", num_steps=3, start=4, stepper="tuned_fno")
    baseline = load_rung(tiny_run, "tuned_fno")
    expected = ups.rollout(baseline, test_split.values[:, 3:5], test_split.params, 3)[0]
    assert torch.equal(PDEBench(file=(tmp_path / "out.hdf5",)).load().values[:, 1:], expected)


def test_members_are_written_beside_their_mean(kicked_run, tmp_path):
    data = load(kicked()).test
    write_pdebench(tmp_path / "in.hdf5", data.values, data.fields, data.params)
    source = PDEBench(file=(tmp_path / "in.hdf5",))
    predict(kicked_run, source, tmp_path / "out.hdf5", num_steps=3, num_members=2, stepper="corrector")
    with h5py.File(tmp_path / "out.hdf5") as file:
        members = file["members"][:]
        assert members.shape == (len(data), 2, 4, 1, data.values.shape[-1])
        np.testing.assert_allclose(members.mean(1)[:, :, 0], file["tensor"][:], rtol=1e-6)
        assert (members[:, 0, 1:] != members[:, 1, 1:]).any()


def test_members_of_a_rung_that_forecasts_one_future_are_refused(tiny_run, source, tmp_path):
    with pytest.raises(UserError, match="operator is deterministic, its 2 members would be equal"):
        predict(tiny_run, source, tmp_path / "out.hdf5", num_steps=3, num_members=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 99}, "no frame 99, the input has frames 0 to 13"),
        ({"start": 0, "stepper": "tuned_fno"}, "tuned_fno needs 2 frames up to the start, there are 1"),
        ({"stepper": "tuned_fnu"}, r"no trained rung 'tuned_fnu' \(did you mean 'tuned_fno'\?\)"),
    ],
)
def test_what_cannot_be_forecast_is_said(tiny_run, source, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        predict(tiny_run, source, tmp_path / "out.hdf5", **options)
    assert not (tmp_path / "out.hdf5").exists()


def test_another_grid_or_parameter_is_refused_unless_forced(tiny_run, tmp_path, test_split):
    fast = Trajectory(test_split.values, test_split.params * 2, test_split.fields)
    write_pdebench(tmp_path / "in.hdf5", fast.values, fast.fields, fast.params)
    source = PDEBench(file=(tmp_path / "in.hdf5",))
    with pytest.raises(UserError, match=r"speed is 0\.8, trained on 0\.4; --force"):
        predict(tiny_run, source, tmp_path / "out.hdf5")
    with pytest.raises(UserError, match="the grid has 16 cells, trained on 32"):
        predict(tiny_run, override(source, ["stride_space=2"]), tmp_path / "out.hdf5")
    predict(tiny_run, source, tmp_path / "out.hdf5", num_steps=2, force=True)
    assert (tmp_path / "out.hdf5").exists()


def test_a_forecast_that_blows_up_is_not_written(tiny_run, tmp_path, test_split):
    huge = test_split.values * (1e38 / test_split.values.abs().max())  # sums of a few such numbers overflow
    write_pdebench(tmp_path / "in.hdf5", huge, test_split.fields, test_split.params)
    with pytest.raises(UserError, match="blows up on trajectories 0"):
        predict(tiny_run, PDEBench(file=(tmp_path / "in.hdf5",)), tmp_path / "out.hdf5", num_steps=40)
    assert not (tmp_path / "out.hdf5").exists()
