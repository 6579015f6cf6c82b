import numpy as np
import pytest

from toy_ensembles import FIELDS
from ups.reports.ensemble_plates import ensemble_figures
from ups.reports.ladder_table import ladder_table
from ups.reports.palette import rung_styles
from ups.reports.run_folder import read_run


def figures(run):
    table = ladder_table(run, run.questions[0])
    return {
        stem: (caption, figure)
        for _, stem, _, caption, figure in ensemble_figures(run, table, rung_styles(run.rungs))
    }


@pytest.fixture
def run(ensemble_dir):
    return read_run(ensemble_dir)


def test_every_figure_is_drawn_from_the_folder_alone(run):
    found = figures(run)
    assert list(found) == ["rank_histograms", "spread_time", "fans_0", "samples_0", "spread_spectra_0"]
    caption, fans = found["fans_0"]
    assert f"place {run.ensembles['trajectory']} in the test split" in caption
    titles = [axes.get_title() for axes in fans.axes[:4]]
    first = 10 * FIELDS.dt
    assert titles == [f"t = {first + FIELDS.dt * (horizon - 1):.3g} s" for horizon in (1, 2, 5, 10)]
    truth = fans.axes[0].lines[-1].get_ydata()
    np.testing.assert_array_equal(truth, run.ensembles["truth"][0, 0])


def test_point_forecasts_of_ours_stand_beside_the_ensembles_in_the_error(run):
    _, figure = figures(run)["spread_time"]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[:5] == ["wide noise", "operator", "corrector", "student", "perfect ensemble"]
    assert figure.axes[0].get_ylabel() == "RMS of u (m/s)"


def test_an_ensemble_that_always_blew_up_has_no_histogram_and_spoils_no_figure(run):
    for name in ("ranks", "coverage", "energy", "spread", "squared_error"):
        run.ensembles[f"{name}/corrector"][:] = np.nan
    found = figures(run)
    titles = [axes.get_title() for axes in found["rank_histograms"][1].axes]
    assert len([title for title in titles if title]) == 3
    assert "spread_spectra_0" in found


def test_of_a_plane_a_cut_halfway_and_the_last_frame_are_shown(run):
    arrays = run.ensembles
    arrays["y"] = np.linspace(0.1, 0.9, 5)
    slope = np.linspace(1, 2, 5)
    for name in arrays:
        if name == "truth" or name.startswith("members/"):
            arrays[name] = arrays[name][..., None] * slope
    found = figures(run)
    caption, fans = found["fans_0"]
    assert "along x, halfway along the other axes" in caption
    np.testing.assert_array_equal(fans.axes[0].lines[-1].get_ydata(), arrays["truth"][0, 0, :, 2])
    caption, samples = found["samples_0"]
    assert "10 frames after the context" in caption
    first, member = (samples.axes[place].images[0].get_array() for place in (0, 1))
    np.testing.assert_array_equal(first, arrays["truth"][9, 0].T)  # x runs to the right, y upwards
    np.testing.assert_array_equal(member, arrays["members/wide noise"][0, 9, 0].T)
    assert samples.axes[0].get_xlabel() == ""
    assert samples.axes[0].get_ylabel() == "y (m)"
