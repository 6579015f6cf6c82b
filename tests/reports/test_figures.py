import numpy as np
import pytest

from ups.reports.figures import (
    accuracy_against_cost,
    band,
    error_against_calls,
    error_against_time,
    fraction_of_trivial,
    pareto_front,
    series,
    smooth,
    training_curves,
)
from ups.reports.palette import rung_styles
from ups.reports.run_folder import Curve, Rung

STYLES = rung_styles([Rung("FNO", "baseline"), Rung("ours", "ours")])
TIME = np.arange(1.0, 6.0)


def test_the_band_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    values = rng.normal(1.0, 0.2, size=(40, 2000))  # 2000 independent frames
    low, high = band(values)
    assert 0.91 < ((low < 1.0) & (high > 1.0)).mean() < 0.97


def test_lines_are_the_mean_over_trajectories_and_stop_where_a_rung_blows_up():
    ours, baseline = np.full((4, 5), 0.1), np.full((4, 5), 0.2)
    ours[1], baseline[2, 3:] = 0.3, np.inf
    curves = {"FNO": Curve(TIME, baseline), "ours": Curve(TIME, ours)}
    axes = error_against_time(curves, STYLES, ["ours"], "nRMSE", " (s)", 0.0).axes[0]
    lines = {line.get_color(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(lines[STYLES["ours"].ink.light], 0.15)
    np.testing.assert_allclose(lines[STYLES["FNO"].ink.light], [0.2] * 3 + [np.nan] * 2)
    assert {text.get_text() for text in axes.texts} == {"ours", "FNO (diverges)"}
    assert axes.get_xlabel() == "time t (s)"
    assert axes.get_yscale() == "log"


def test_the_front_holds_what_nothing_beats_in_both():
    assert pareto_front([(3.0, 1.0), (1.0, 5.0), (2.0, 6.0), (2.0, 2.0), (4.0, 1.0)]) == [
        (1, 5),
        (2, 2),
        (3, 1),
    ]


def test_every_rung_has_its_mark_at_cost_and_error():
    points = {"FNO": (2.0, 0.1, 0.09, 0.12), "ours": (1.0, 0.01, 0.009, 0.012)}
    axes = accuracy_against_cost(points, STYLES, "nRMSE").axes[0]
    marks = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() in "oD"
    }
    assert marks == {(2.0, 0.1), (1.0, 0.01)}
    assert {text.get_text() for text in axes.texts} == {"FNO", "ours"}


def test_a_reference_has_a_mark_and_is_not_on_the_front():
    points = {"trivial": (1.0, 1.0, 0.9, 1.1), "ours": (4.0, 0.2, 0.1, 0.3), "known": (2.0, 0.1, 0.05, 0.2)}
    styles = rung_styles([Rung("trivial", "trivial"), Rung("ours", "ours"), Rung("known", "reference")])
    steps = {}
    for references in ((), ("known",)):
        axes = accuracy_against_cost(points, styles, "nRMSE", references).axes[0]
        front = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
        steps[references] = front.get_xdata().tolist()
        assert {text.get_text() for text in axes.texts} == set(points)
    assert steps == {(): [1.0, 2.0], ("known",): [1.0, 4.0]}


def test_a_training_loss_is_shown_as_a_fraction_of_the_trivial_one():
    log = [{"update": 5, "loss": 0.5, "trivial": 2.0}, {"update": 6, "loss": None, "trivial": 2.0}]
    update, loss = fraction_of_trivial(log)
    assert (update.tolist(), loss.tolist()) == ([5.0], [0.25])
    assert fraction_of_trivial([{"update": 5, "loss": 0.5}])[1].tolist() == [0.5]
    assert series(log, "validation")[0].size == 0


def test_held_out_and_training_loss_stand_side_by_side_and_the_kept_update_is_marked():
    log = [{"update": i, "loss": 1 / (i + 1), "trivial": 1.0} for i in range(20)]
    score = {4: 0.3, 9: 0.1, 14: 0.2, 19: 0.1}
    for i, value in score.items():
        log[i] |= {"train": value / 2, "held_out": value, "validation": 3 * value}
    figure = training_curves({"operator": log})
    above, below = figure.axes
    lines = {line.get_label(): line for line in above.lines}
    assert lines["training windows"].get_xdata().tolist() == lines["held-out windows"].get_xdata().tolist()
    assert lines["held-out windows"].get_ydata().tolist() == list(score.values())
    np.testing.assert_allclose(lines["training windows"].get_ydata(), [0.15, 0.05, 0.1, 0.05])
    assert lines["held-out windows"].get_color() != lines["training windows"].get_color()
    for axes in (above, below):  # the first of two equal scores is kept, as in training
        (mark,) = (line for line in axes.lines if line.get_label() == "weights kept")
        assert list(mark.get_xdata()) == [9, 9]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["updates", "training windows", "held-out windows", "weights kept"]


def test_a_log_without_held_out_losses_has_no_legend_and_one_without_scores_no_mark():
    log = [{"update": i, "loss": 1 / (i + 1), "trivial": 1.0} for i in range(20)]
    figure = training_curves({"codec": log})
    assert not figure.legends
    assert "weights kept" not in [line.get_label() for line in figure.axes[0].lines]


def test_smoothing_follows_a_jump_and_ignores_a_spike():
    value = np.r_[np.ones(400), np.full(400, 0.1)]
    value[100] = 1e6
    smoothed = smooth(value)
    np.testing.assert_allclose(smoothed[:390], 1.0)
    np.testing.assert_allclose(smoothed[410:], 0.1)
    assert smooth(np.array([3.0])).tolist() == [3.0]


@pytest.mark.parametrize("num_stages", [1, 2, 4])
def test_each_stage_has_its_panel(num_stages):
    log = [{"update": i, "loss": 1 / (i + 1), "trivial": 1.0, "validation": 0.1} for i in range(20)]
    figure = training_curves({f"stage {i}": log for i in range(num_stages)} | {"silent": []})
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert sorted(filter(None, titles)) == [f"stage {i}" for i in range(num_stages)]
    assert len(figure.axes) == 2 * num_stages


def test_errors_stand_over_the_calls_that_they_cost_and_over_what_costs_none():
    rungs = [Rung("operator", "ours"), Rung("corrector, 4", "ours", 8), Rung("student", "ours", 8)]
    points = {"corrector, 4": (4, 0.2, 0.19, 0.21), "student": (1, 0.3, 0.28, 0.33)}
    axes = error_against_calls(points, {"operator": 0.5}, rung_styles(rungs), "fair CRPS").axes[0]
    marks = sorted((x[0], y[0]) for x, y in (line.get_data() for line in axes.lines) if len(x) == 1)
    assert marks == [(1, 0.3), (4, 0.2)]
    (reference,) = [line for line in axes.lines if line.get_label() == "operator"]
    assert set(reference.get_ydata()) == {0.5}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("network calls per frame", "mean fair CRPS")
