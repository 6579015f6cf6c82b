import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from ups.reports.drawing import label_points, log_axis, look, new_figure, plain_number, spread, to_png, to_svg
from ups.reports.palette import RUNG_INKS, TEXT


def drawn(text="a name"):
    figure = new_figure(2.0)
    axes = figure.add_subplot()
    axes.plot([1, 2], [1, 2], color=RUNG_INKS[0].light)
    axes.set_title(text)
    return figure


def test_svg_takes_its_colors_from_the_page_and_nothing_from_outside():
    with look():
        svg = to_svg(drawn(), "what it shows")
    assert f"var(--{RUNG_INKS[0].name})" in svg
    assert f"var(--{TEXT.name})" in svg
    assert RUNG_INKS[0].light not in svg
    assert "http" not in svg
    assert "a name" in re.sub(r"<[^>]+>", "", svg)  # text, not outlines


def test_text_cannot_break_out_of_the_svg():
    with look():
        svg = to_svg(drawn("<script>$x^&</script>"), 'a "quoted" <name>')
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    assert root.attrib["aria-label"] == 'a "quoted" <name>'
    assert "<script>$x^&</script>" in "".join(root.itertext())
    assert not [element for element in root.iter() if element.tag == "script"]


def test_png_shows_what_was_drawn(tmp_path):
    with look():
        to_png(drawn(), tmp_path / "a.png")
    image = np.array(Image.open(tmp_path / "a.png").convert("RGB"))
    line = [int(RUNG_INKS[0].light[i : i + 2], 16) for i in (1, 3, 5)]
    assert image.shape[1] == 1440
    assert (image == line).all(-1).sum() > 500


@pytest.mark.parametrize(
    ("value", "text"), [(0.02, "0.02"), (5000.0, "5000"), (1e-5, "10⁻⁵"), (2e-4, "2·10⁻⁴"), (1e6, "10⁶")]
)
def test_ticks_are_plain_numbers_where_that_is_short(value, text):
    assert plain_number(value) == text


@pytest.mark.parametrize("span", [1.2, 3, 80, 1e5])
def test_a_logarithmic_axis_has_ticks_however_short_it_is(span):
    figure = new_figure(2.0)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0.013, 0.013 * span])
    log_axis(axes, "y")
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    inside = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 2 <= len(inside) <= 9


def test_labels_are_spread_no_further_than_needed():
    assert spread([0.0, 100.0], 10.0) == [0, 100]
    assert spread([50.0, 50.0], 10.0) == [45, 55]
    placed = spread([0.0, 1.0, 2.0, 3.0, 90.0], 10.0)
    assert np.diff(placed).min() >= 10 - 1e-9
    assert np.mean(placed[:4]) == pytest.approx(1.5)
    assert placed[-1] == 90


def test_names_of_close_points_do_not_overlap():
    figure = new_figure(3.0)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(
        figure,
        axes,
        [(0.5, 0.5, "first name", "k"), (0.51, 0.51, "second name", "k"), (0.98, 0.5, "third", "k")],
    )
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert boxes[-1].x1 <= axes.bbox.x1
