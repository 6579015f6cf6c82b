import numpy as np
import pytest

from ups.studies.board_plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    Point,
    against_cost,
    against_time,
)

POINTS = [
    Point("slow", "ours", 10.0, 0.01),
    Point("fast", "baseline", 0.1, 1.0),
    Point("middle", "ours", 1.0, 0.1),
]


def test_points_stand_where_their_logarithms_are():
    plot = against_cost(POINTS, "nRMSE")
    slow, fast, middle = plot.marks
    assert fast.x < middle.x < slow.x
    assert fast.y < middle.y < slow.y  # downwards is more accurate
    assert middle.x == pytest.approx((fast.x + slow.x) / 2)
    assert middle.y == pytest.approx((fast.y + slow.y) / 2)
    assert slow.ink == middle.ink != fast.ink
    assert slow.text == "slow: 0.0100, 10.0 ms per frame"


def test_ticks_stand_at_their_numbers_within_the_picture():
    plot = against_cost(POINTS, "nRMSE")
    at = {tick.text: tick.place for tick in plot.x_ticks}
    assert at["0.1"] == pytest.approx(plot.marks[1].x)
    assert at["10"] == pytest.approx(plot.marks[0].x)
    assert all(LEFT <= tick.place <= WIDTH - RIGHT for tick in plot.x_ticks)
    assert all(TOP <= tick.place <= HEIGHT - BOTTOM for tick in plot.y_ticks)
    alone = against_cost(POINTS[:1], "nRMSE")  # one point makes an axis too
    assert len(alone.x_ticks) >= 1
    assert LEFT < alone.marks[0].x < WIDTH - RIGHT


def test_what_has_no_place_is_left_out():
    wrong = [
        Point("free", "trivial", 0.0, 0.1),
        Point("blown", "ours", 1.0, np.inf),
        Point("new", "", np.nan, 0.1),
    ]
    assert against_cost(wrong, "nRMSE") is None
    assert [mark.text[:4] for mark in against_cost([*wrong, POINTS[0]], "nRMSE").marks] == ["slow"]


def test_a_line_goes_through_its_frames_and_leaves_out_what_blew_up():
    time = np.array([0.0, 1.0, 2.0])
    curves = [
        Curve("one", "ours", time, np.array([0.1, 0.2, 0.4])),
        Curve("two", "ours", time, np.array([0.1, np.inf, 0.1])),
        Curve("never", "ours", time, np.array([np.nan, 0.0, 0.1])),
    ]
    plot = against_time(curves, "nRMSE", " (s)")
    one, two = plot.traces
    assert one.ink != two.ink
    assert [mark.x for mark in one.marks] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT])
    steps = np.diff([mark.y for mark in one.marks])
    assert steps[0] == pytest.approx(steps[1])  # doubling is one step on the axis
    assert steps[0] < 0
    assert len(two.marks) == 2
    assert one.path.count(",") == 3
    assert one.marks[1].text == "one: 0.200 at t = 1 (s)"
    assert against_time(curves[2:], "nRMSE", "") is None
