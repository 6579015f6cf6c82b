import numpy as np
import pytest

from ups.reports.drawing import look
from ups.reports.palette import rung_styles
from ups.reports.run_folder import Rung
from ups.reports.sample_figures import sample_fans, sample_images

X, TIME = (np.arange(32) + 0.5) / 32, np.array([0.1, 0.2, 0.3])
STYLES = rung_styles([Rung("corrector", "ours"), Rung("student", "ours")])
FAN_LABELS, IMAGE_LABELS = ("u (m/s)", "x (m)", " s"), ("u (m/s)", "x (m)", "t (s)")


@pytest.fixture
def truth():
    return np.random.default_rng(0).normal(size=(3, 32))


@pytest.fixture
def forecasts(truth):
    rng = np.random.default_rng(1)
    return {name: truth + 0.2 * rng.normal(size=(5, 3, 32)) for name in ("corrector", "student")}


def test_a_fan_holds_every_member_their_mean_and_the_truth_on_top(truth, forecasts):
    with look():
        figure = sample_fans(X, TIME, truth, forecasts, STYLES, FAN_LABELS)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == ["t = 0.1 s", "t = 0.2 s", "t = 0.3 s"]
    for place, name in enumerate(forecasts):
        for frame in range(3):
            *members, mean, true = (line.get_ydata() for line in figure.axes[3 * place + frame].lines)
            np.testing.assert_allclose(members, forecasts[name][:, frame])
            np.testing.assert_allclose(mean, forecasts[name][:, frame].mean(0))
            np.testing.assert_allclose(true, truth[frame])
    assert figure.axes[0].get_ylabel() == "u (m/s)"
    assert figure.axes[3].get_xlabel() == "x (m)"


def test_images_show_members_on_the_scale_of_the_truth_and_spread_on_that_of_the_error(truth, forecasts):
    with look():
        figure = sample_images(X, TIME, truth, forecasts, IMAGE_LABELS)
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]
    assert len(images) == 12
    members = forecasts["student"]
    shown = [truth, *members[:3], members.std(0, ddof=1), abs(members.mean(0) - truth)]
    for image, expected in zip(images[6:], shown, strict=True):
        np.testing.assert_allclose(image.get_array(), expected)
    assert {image.get_clim() for image in images[6:10]} == {(truth.min(), truth.max())}
    scales = {image.get_clim() for place in (4, 10) for image in images[place : place + 2]}
    assert len(scales) == 1  # spread and error can be compared, and so can the steppers
    labels = {axes.get_ylabel() for axes in figure.axes}
    assert {"t (s)", "u (m/s)", "deviation of u (m/s)"} <= labels


def test_a_member_that_blew_up_leaves_its_frames_blank_and_spoils_no_scale(truth, forecasts):
    forecasts["student"][0, 1:] = np.inf
    forecasts["student"][1, 1:] = -np.inf
    with look():
        images = sample_images(X, TIME, truth, forecasts, IMAGE_LABELS)
        fans = sample_fans(X, TIME, truth, forecasts, STYLES, FAN_LABELS)
    spread = images.axes[10].images[0]
    assert np.isfinite(spread.get_clim()).all()
    assert np.ma.getmaskarray(spread.get_array())[1:].all()
    assert np.isnan(fans.axes[4].lines[-2].get_ydata()).all()
    assert np.isfinite(fans.axes[4].get_ylim()).all()


def test_equal_members_have_no_spread_and_are_drawn(truth):
    with look():
        figure = sample_images(
            X, TIME, truth.round(), {"perfect": np.stack([truth.round()] * 3)}, IMAGE_LABELS
        )
    assert figure.axes[4].images[0].get_array().max() == 0
    assert figure.axes[4].images[0].get_clim() == (0, 1)


def test_a_forecast_that_is_nowhere_finite_is_blank(truth):
    with look():
        figure = sample_images(X, TIME, truth, {"lost": np.full((3, 3, 32), np.nan)}, IMAGE_LABELS)
    assert figure.axes[5].images[0].get_clim() == (0, 1)


def test_members_that_end_elsewhere_than_a_uniform_truth_are_in_sight():
    truth, member = np.ones((1, 32)), np.linspace(-1, 1, 32)
    forecasts = {"corrector": np.tile(member, (4, 1, 1)), "student": np.full((4, 1, 32), 1e6)}
    with look():
        figure = sample_fans(X, TIME[:1], truth, forecasts, STYLES, FAN_LABELS)
    low, high = figure.axes[0].get_ylim()
    assert low < -1
    assert 1 < high < 3
