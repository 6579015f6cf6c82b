import numpy as np
from matplotlib.collections import PathCollection

from ups.reports.drawing import look, to_png
from ups.statistics.bootstrap import Interval
from ups.studies.figures import Effect, paired_effects

EFFECTS = [
    Effect("good", Interval(0.2, 0.1, 0.3), np.array([0.15, 0.2, 0.25])),
    Effect("bad", Interval(-0.1, -0.3, 0.1), np.array([-0.3, 0.0, 0.0])),
]


def drawn(effects, minimal=0.0):
    with look():
        (axes,) = paired_effects(effects, [4, 5, 6], minimal).axes
    return axes


def points(axes, marker):
    return [line.get_xdata()[0] for line in axes.lines if line.get_marker() == marker]


def test_every_seed_and_every_mean_lies_where_its_number_says():
    axes = drawn(EFFECTS)
    np.testing.assert_allclose(points(axes, "o"), [15, 20, 25, -30, 0, 0])
    np.testing.assert_allclose(points(axes, "D"), [20, -10])
    bars = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 2.2]
    np.testing.assert_allclose(bars, [(10, 30), (-30, 10)])
    assert [text.get_text() for text in axes.texts] == ["4", "5", "6"] * 2
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good", "bad"]
    assert not [child for child in axes.get_children() if isinstance(child, PathCollection)]


def test_the_first_variant_stands_on_top_and_zero_is_marked():
    axes = drawn(EFFECTS)
    top, bottom = (axes.transData.transform((0, height))[1] for height in (0, 1))
    assert top > bottom
    assert any(list(line.get_xdata()) == [0.0, 0.0] for line in axes.lines)


def test_what_is_too_small_to_matter_is_shaded():
    assert not drawn(EFFECTS).patches
    (band,) = drawn(EFFECTS, 5.0).patches
    assert (band.get_x(), band.get_width()) == (-5.0, 10.0)


def test_what_is_not_finite_is_left_out_and_the_figure_is_still_drawn(tmp_path):
    broken = Effect("broken", Interval(np.nan, np.nan, np.nan), np.array([-np.inf, np.nan, 0.1]))
    axes = drawn([*EFFECTS, broken])
    assert points(axes, "o")[6:] == [10.0]
    assert len(points(axes, "D")) == 2
    with look():
        to_png(axes.figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
