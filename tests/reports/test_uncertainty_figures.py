import numpy as np
import pytest

from ups.reports.drawing import look, to_svg
from ups.reports.palette import rung_styles
from ups.reports.run_folder import Rung
from ups.reports.uncertainty_figures import (
    Dispersion,
    EnsembleSpectra,
    rank_histograms,
    spread_against_time,
    spread_skill_spectra,
)

STYLES = rung_styles([Rung(name, "ours") for name in ("operator", "corrector", "student", "noise", "fifth")])
TIME = np.arange(1.0, 5.0)


def shares(num_members, width=1.0, num=60, seed=0):
    """Rank histograms of trajectories of 50 independent cells; the members are `width` times as wide as the truth."""
    rng = np.random.default_rng(seed)
    members, truth = width * rng.normal(size=(num_members, num, 50)), rng.normal(size=(num, 50))
    ranks = (members < truth).sum(0)
    return np.stack([(ranks == rank).mean(1) for rank in range(num_members + 1)], axis=1)


def line_of(axes, name, dashed=False):
    found = [
        line
        for line in axes.lines
        if line.get_color() == STYLES[name].ink.light and line.is_dashed() == dashed
    ]
    return found[0].get_ydata() if found else None


def test_bars_are_frequencies_over_those_of_a_calibrated_ensemble_of_the_same_size():
    histograms = {"corrector": shares(4), "student": shares(8)}
    figure = rank_histograms(histograms, STYLES)
    for axes, (name, values) in zip(figure.axes, histograms.items(), strict=True):
        height = np.array([bar.get_height() for bar in axes.patches])
        np.testing.assert_allclose(height, values.mean(0) * values.shape[1])
        assert sum(bar.get_width() * bar.get_height() for bar in axes.patches) == pytest.approx(1.0)
        assert name in axes.get_title()


def test_each_histogram_says_whether_it_is_flat():
    histograms = {"corrector": shares(4), "student": shares(4, width=0.5), "noise": shares(4, num=1)}
    titles = [axes.get_title() for axes in rank_histograms(histograms, STYLES).axes]
    assert "flat within noise, p = 0." in titles[0]
    assert "not flat, p < 0.001" in titles[1]
    assert "no test" in titles[2]


def test_a_bar_too_high_for_the_page_is_cut_and_its_height_written():
    axes = rank_histograms({"corrector": shares(16, width=0.1)}, STYLES).axes[0]
    first, last = axes.patches[0].get_height(), axes.patches[-1].get_height()
    assert min(first, last) > axes.get_ylim()[1] == 3.0
    assert [text.get_text() for text in axes.texts] == [f"{first:.1f}", f"{last:.1f}"]


def test_five_steppers_take_two_lines_and_the_empty_places_stay_empty():
    figure = rank_histograms({name: shares(4) for name in STYLES}, STYLES)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False] * 3


@pytest.fixture
def dispersions():
    rng = np.random.default_rng(2)
    error = rng.chisquare(20, size=(30, 4)) / 20 * TIME
    return {
        "operator": Dispersion(TIME, np.zeros((30, 4)), error),
        "corrector": Dispersion(TIME, 0.25 * error, error),
    }


def test_error_is_solid_what_is_expected_dashed_and_their_ratio_stands_beside_them(dispersions):
    with look():
        figure = spread_against_time(dispersions, STYLES, "u (m/s)", " (s)")
        svg = to_svg(figure, "spread")
    left, right = figure.axes
    error = dispersions["corrector"].squared_error
    np.testing.assert_allclose(line_of(left, "corrector"), np.sqrt(error.mean(0)))
    np.testing.assert_allclose(line_of(left, "corrector", dashed=True), np.sqrt(error.mean(0)) / 2)
    np.testing.assert_allclose(line_of(right, "corrector"), 0.5)
    assert "spread / error (1 is calibrated)" in svg
    assert "RMS of u (m/s)" in svg


def test_a_point_forecast_has_an_error_and_no_spread(dispersions):
    left, right = spread_against_time(dispersions, STYLES, "u", "").axes
    assert line_of(left, "operator") is not None
    assert line_of(left, "operator", dashed=True) is None
    assert line_of(right, "operator") is None


def test_the_band_is_the_interval_of_a_ratio_of_means(dispersions):
    rng = np.random.default_rng(3)
    spread, error = rng.chisquare(5, size=(2, 30, 4)) / 5
    _, right = spread_against_time({"corrector": Dispersion(TIME, spread, error)}, STYLES, "u", "").axes
    edges = right.collections[0].get_paths()[0].vertices
    ratio = np.sqrt(spread.mean(0) / error.mean(0))
    np.testing.assert_allclose(line_of(right, "corrector"), ratio)
    at_start = edges[edges[:, 0] == TIME[0], 1]
    assert at_start.min() < ratio[0] < at_start.max()


def test_a_stepper_that_blows_up_is_drawn_until_then_and_called_so(dispersions):
    spread, error = (values.copy() for values in dispersions["corrector"][1:])
    spread[3, 2:] = error[3, 2:] = np.inf
    figure = spread_against_time({"corrector": Dispersion(TIME, spread, error)}, STYLES, "u", "")
    left, right = figure.axes
    assert np.isfinite(line_of(left, "corrector")).tolist() == [True, True, False, False]
    assert len(line_of(right, "corrector")) == 2
    assert "corrector (diverges)" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_spectra_leave_out_the_mean_and_show_the_members_energy_over_the_truths():
    truth = np.array([[9.0, 4.0, 2.0, 1.0], [9.0, 3.0, 2.0, 1.0]])
    spectra = {"corrector": EnsembleSpectra(0.1 * truth, 0.2 * truth, 0.8 * truth)}
    figure = spread_skill_spectra(spectra, truth, TIME[:2], STYLES, ("energy", "k", " s"))
    above, below = figure.axes[1], figure.axes[3]
    np.testing.assert_allclose(line_of(above, "corrector"), 0.2 * truth[1, 1:])
    np.testing.assert_allclose(line_of(above, "corrector", dashed=True), 0.1 * truth[1, 1:])
    np.testing.assert_allclose(line_of(below, "corrector"), 0.8)
    assert above.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_the_legend_of_many_long_names_stays_on_the_page():
    names = [f"operator + colored Gaussian noise {number}" for number in range(6)]
    styles = rung_styles([Rung(name, "ours") for name in names])
    truth = np.ones((1, 8))
    spectra = {name: EnsembleSpectra(truth, truth, truth) for name in names}
    with look():
        figure = spread_skill_spectra(spectra, truth, TIME[:1], styles, ("energy", "k", ""))
        figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
