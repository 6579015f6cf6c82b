import numpy as np
import pytest

from ups.reports.drawing import look
from ups.reports.field_figures import planes, relative_l2, space_time, spectra
from ups.reports.palette import rung_styles
from ups.reports.run_folder import Rung, read_run


@pytest.fixture(scope="module")
def examples(run_dir):
    return read_run(run_dir).examples


def test_images_hold_truth_forecasts_and_errors_on_common_scales(examples):
    with look():
        figure = space_time(examples, ["FNO (tuned)", "operator"], 0, ("u (m/s)", "x (m)", "t (s)"))
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]
    assert len(images) == 15
    for line in range(3):
        truth, baseline, baseline_error, ours, our_error = images[5 * line : 5 * line + 5]
        expected = examples["truth"][line, :, 0]
        forecast = examples["forecast/operator"][line, :, 0]
        np.testing.assert_allclose(truth.get_array(), expected)
        np.testing.assert_allclose(our_error.get_array(), forecast - expected)
        assert truth.get_clim() == baseline.get_clim() == ours.get_clim() == (expected.min(), expected.max())
        assert baseline_error.get_clim() == our_error.get_clim()
        assert our_error.get_clim()[0] == -our_error.get_clim()[1]
    labels = {axes.get_ylabel() for axes in figure.axes} | {axes.get_xlabel() for axes in figure.axes}
    assert {"u (m/s)", "error", "x (m)", "t (s)"} <= labels


def test_a_forecast_that_blew_up_is_called_so_and_spoils_no_scale(examples):
    broken = dict(examples)
    broken["forecast/FNO"] = examples["forecast/FNO"].copy()
    broken["forecast/FNO"][2, 5:] = np.nan
    figure = space_time(broken, ["FNO", "operator"], 0, ("u", "x", "t"))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles.count("error (blown up)") == 1
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert all(np.isfinite(image.get_clim()).all() for image in images)


def test_relative_l2_of_zero_is_one():
    truth = np.random.default_rng(0).normal(size=(4, 8))
    assert relative_l2(np.zeros_like(truth), truth) == pytest.approx(1.0)
    assert relative_l2(1.1 * truth, truth) == pytest.approx(0.1)


def test_spectra_leave_out_the_mean_and_draw_each_rung_that_has_one(examples):
    styles = rung_styles([Rung("operator", "ours"), Rung("absent", "baseline")])
    figure = spectra(examples, styles, 0, ("energy", "k", " s"))
    assert len(figure.axes) == len(examples["spectrum_time"])
    truth, ours = figure.axes[1].lines
    np.testing.assert_allclose(truth.get_ydata(), examples["spectrum/truth"][1, 0, 1:])
    np.testing.assert_allclose(ours.get_ydata(), examples["spectrum/operator"][1, 0, 1:])
    assert truth.get_xdata()[0] == 1


def test_a_plane_is_drawn_with_x_to_the_right_and_y_upwards():
    rng = np.random.default_rng(1)
    arrays = {
        "x": np.arange(6) / 6 + 1 / 12,
        "y": 2 * np.arange(4) / 4 + 1 / 4,
        "time": np.arange(9) * 0.5,
        "truth": rng.normal(size=(3, 9, 1, 6, 4)),
        "forecast/operator": rng.normal(size=(3, 9, 1, 6, 4)),
    }
    with look():
        figure = planes(arrays, ["operator"], 0, ("u (m)", "x (m)", "y (m)", " s"))
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]
    assert len(images) == 9
    truth, forecast = arrays["truth"][1, :, 0], arrays["forecast/operator"][1, :, 0]
    for column, frame in enumerate((0, 4, 8)):
        np.testing.assert_allclose(images[column].get_array(), truth[frame].T)
        np.testing.assert_allclose(images[6 + column].get_array(), (forecast - truth)[frame].T)
        np.testing.assert_allclose(images[column].get_extent(), (0, 1, 0, 2), atol=1e-12)
        assert images[column].origin == "lower"
    assert len({image.get_clim() for image in images[:6]}) == 1
    low, high = images[6].get_clim()
    assert low == -high
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == ["t = 0 s", "t = 2 s", "t = 4 s"]
