import math

import numpy as np
import pytest
import torch
from known_steppers import Noisy, Roll, advected

from ups.evaluation import ensembles
from ups.evaluation.ensembles import LEVELS, horizons, save_ensembles, summarize
from ups.evaluation.evaluate import forecast
from ups.evaluation.protocols import FROM_INITIAL
from ups.evaluation.spectra import power_spectrum
from ups.evaluation.uncertainty import coverage, nominal_coverage, spread, squared_error
from ups.streams import stream


@pytest.fixture
def data():
    return advected(num=30, num_frames=13)


def noisy(data, num_members=8):
    return forecast(Noisy(), data, FROM_INITIAL, num_members=num_members, generator=stream(0, "noise"))


def ties():
    return stream(0, "ties")


def test_horizons_are_those_that_the_data_reach():
    assert horizons(1) == [1]
    assert horizons(7) == [1, 2, 5]
    assert horizons(31) == [1, 2, 5, 10]


def test_sums_over_wavenumbers_are_the_rows_of_the_ensemble(data):
    truth, prediction = data.values[:, 1:], noisy(data)
    found = summarize(prediction, truth, 3, ties())
    frames = [0, 1, 4, 9]
    for name, metric in (("spread", spread), ("squared_error", squared_error)):
        expected = metric(prediction, truth, data.fields).mean(0)[frames]
        np.testing.assert_allclose(found[name].sum(-1), expected, rtol=1e-5)
    energy = prediction.double().square().mean((0, -1))
    np.testing.assert_allclose(found["energy"][:, :-1].sum(-1), energy[:, frames], rtol=1e-5)
    np.testing.assert_allclose(found["energy"][:, -1].sum(-1), energy.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found["coverage"].T, coverage(prediction, truth, LEVELS).mean((2, 3)))
    np.testing.assert_array_equal(found["members"], prediction[:, 3])


def test_an_ensemble_of_the_truths_own_law_has_flat_ranks_and_the_nominal_coverage():
    data = advected(num=300, num_frames=3)
    draws = forecast(Noisy(), data, FROM_INITIAL, num_members=9, generator=stream(1, "n"))
    found = summarize(draws[:8], draws[8], 0, ties())
    np.testing.assert_allclose(found["ranks"].sum(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found["ranks"].mean(0), 1 / 9, atol=0.015)
    nominal = [nominal_coverage(8, level) for level in LEVELS]
    np.testing.assert_allclose(found["coverage"].mean(0), nominal, atol=0.02)


def test_between_walls_a_cosine_of_half_a_wave_is_one_wave_and_not_many():
    x = (torch.arange(16) + 0.5) / 16
    truth = torch.cos(math.pi * x).expand(2, 2, 1, 16)
    prediction = torch.stack([(1 + size) * truth for size in (-0.1, 0.0, 0.2)])
    found = summarize(prediction, truth, 0, ties(), (True,))
    for name in ("energy", "spread", "squared_error"):
        numbers = found[name].reshape(-1, found[name].shape[-1])
        assert (numbers[:, 1] > 0).all()
        assert np.abs(numbers[:, 2:]).max() < 1e-9
    leaking = summarize(prediction, truth, 0, ties())["energy"]
    assert leaking[..., 2:].max() > 1e-3


def test_working_in_parts_changes_no_number(data, monkeypatch):
    truth, prediction = data.values[:, 1:], noisy(data)
    whole = summarize(prediction, truth, 0, ties())
    monkeypatch.setattr(ensembles, "BATCH_SIZE", 24)  # three trajectories of eight members
    parts = summarize(prediction, truth, 0, ties())
    for name, value in whole.items():
        if name != "ranks":  # ties are drawn in another order
            np.testing.assert_allclose(value, parts[name], rtol=1e-6)


def test_a_trajectory_with_one_broken_member_is_left_out_and_no_other(data):
    truth, prediction = data.values[:, 1:], noisy(data)
    kept = summarize(prediction[:, 1:], truth[1:], 0, ties())
    prediction[2, 0, 7] = torch.inf
    found = summarize(prediction, truth, 0, ties())
    for name in ("ranks", "coverage", "energy"):
        assert np.isnan(found[name][0]).all(), name
        assert np.isfinite(found[name][1:]).all(), name
    for name in ("spread", "squared_error"):
        np.testing.assert_allclose(found[name], kept[name], rtol=1e-6)


def test_the_file_holds_the_truth_beside_every_ensemble(data, tmp_path):
    truth = data.values[:, 1:]
    found = {"noisy": summarize(noisy(data), truth, 5, ties())}
    exact = forecast(Roll(), data, FROM_INITIAL, num_members=2)
    found["exact"] = summarize(exact, truth, 5, ties())
    save_ensembles(tmp_path / "ensembles.npz", found, data, 5, FROM_INITIAL)
    with np.load(tmp_path / "ensembles.npz") as file:
        arrays = dict(file)
    assert {name: arrays[f"{name}/noisy"].shape for name in found["noisy"]} == {
        "ranks": (30, 9),
        "coverage": (30, 2),
        "energy": (30, 5, 1, 9),
        "spread": (4, 1, 9),
        "squared_error": (4, 1, 9),
        "members": (8, 12, 1, 16),
    }
    np.testing.assert_array_equal(arrays["truth"], truth[5])
    np.testing.assert_allclose(arrays["energy/truth"], arrays["energy/exact"], rtol=1e-6)
    np.testing.assert_allclose(arrays["energy/truth"][:, 3], power_spectrum(truth)[:, 9], rtol=1e-5)
    assert arrays["trajectory"] == 5
    assert arrays["horizon"].tolist() == [1, 2, 5, 10]
    np.testing.assert_allclose(arrays["time"], 0.5 * np.arange(1, 13))
