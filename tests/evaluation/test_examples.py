import numpy as np
import pytest
import torch
from known_steppers import Roll, advected

from ups.evaluation.evaluate import forecast
from ups.evaluation.examples import choose, excerpt, save_examples
from ups.evaluation.protocols import PDEBENCH
from ups.evaluation.spectra import power_spectrum


def test_the_10th_percentile_the_median_and_the_worst_are_chosen():
    errors = np.random.default_rng(0).permutation(101) / 100
    assert errors[choose(errors)].tolist() == [0.1, 0.5, 1.0]


def test_a_blown_up_forecast_is_the_worst_and_one_trajectory_is_all_three():
    assert choose(np.array([0.5, np.inf, 0.1]))[2] == 1
    assert choose(np.array([0.5])).tolist() == [0, 0, 0]


@pytest.fixture
def saved(tmp_path):
    data = advected()
    biased = forecast(Roll(bias=0.5), data, PDEBENCH)
    broken = biased.clone()
    broken[0, 2] = torch.nan
    ensemble = torch.cat([biased, -biased])
    forecasts = {"biased": biased, "broken": broken, "ensemble": ensemble}
    index = np.array([4, 2, 0])
    excerpts = {name: excerpt(prediction, index, (False,)) for name, prediction in forecasts.items()}
    save_examples(tmp_path / "examples.npz", excerpts, data, index)
    assert [path.name for path in tmp_path.iterdir()] == ["examples.npz"]
    with np.load(tmp_path / "examples.npz") as arrays:
        return data, forecasts, dict(arrays)


def test_all_keys_have_their_shapes(saved):
    _, forecasts, arrays = saved
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = {
        "x": (16,),
        "time": (4,),
        "labels": (3,),
        "index": (3,),
        "truth": (3, 4, 1, 16),
        "wavenumber": (9,),
    }
    expected |= {"spectrum_time": (4,), "spectrum/truth": (4, 1, 9)}
    expected |= {f"forecast/{name}": (3, 4, 1, 16) for name in forecasts}
    expected |= {f"spectrum/{name}": (4, 1, 9) for name in forecasts}
    assert shapes == expected
    assert arrays["labels"].tolist() == ["good", "median", "worst"]


def test_fields_and_axes_are_those_of_the_data(saved):
    data, forecasts, arrays = saved
    np.testing.assert_allclose(arrays["x"], (np.arange(16) + 0.5) / 8)
    np.testing.assert_allclose(arrays["time"], [5.0, 5.5, 6.0, 6.5])
    np.testing.assert_array_equal(arrays["truth"], data.values[[4, 2, 0], 10:].numpy())
    np.testing.assert_array_equal(arrays["forecast/biased"], forecasts["biased"][0, [4, 2, 0]].numpy())
    assert (arrays["forecast/ensemble"] == 0).all()


def test_spectra_are_means_over_the_whole_test_set_and_over_members(saved):
    data, _, arrays = saved
    expected = power_spectrum(data.values[:, 10:]).mean(0).numpy()
    np.testing.assert_allclose(arrays["spectrum/truth"], expected, rtol=1e-12)
    np.testing.assert_allclose(arrays["spectrum/ensemble"], arrays["spectrum/biased"], rtol=1e-12)
    np.testing.assert_allclose(arrays["spectrum/biased"][..., 1:], expected[..., 1:], rtol=1e-4)


def test_a_trajectory_that_blew_up_is_left_out_of_the_spectrum_only(saved):
    _, forecasts, arrays = saved
    kept = power_spectrum(forecasts["broken"][0, [0, 1, 3, 4, 5]]).mean(0).numpy()
    np.testing.assert_allclose(arrays["spectrum/broken"], kept, rtol=1e-12)
    assert np.isnan(arrays["forecast/broken"][1]).all()
