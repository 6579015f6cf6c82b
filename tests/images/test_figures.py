import base64

import matplotlib.image
import numpy as np

from ups.images.figures import (
    GAP,
    Line,
    as_grid,
    course,
    distance_against_calls,
    labeled_rows,
    loss_by_level,
    tile,
    write_png,
)
from ups.reports.drawing import look


def flat(value, channels=3):
    return np.full((channels, 4, 4), value, np.uint8)


def test_a_sheet_holds_every_image_at_its_place_twice_as_large():
    images = np.stack([np.stack([flat(10), flat(20)]), np.stack([flat(30), flat(40)])])
    sheet = tile(images)
    assert sheet.shape == (2 * 8 + GAP, 2 * 8 + GAP, 4)
    assert (sheet[:8, :8] == [10, 10, 10, 255]).all()
    assert (sheet[:8, 8 + GAP :] == [20, 20, 20, 255]).all()
    assert (sheet[8 + GAP :, :8] == [30, 30, 30, 255]).all()
    assert (sheet[8 : 8 + GAP] == 0).all()  # clear: the page shows through, light or dark


def test_gray_images_become_gray_pictures_and_an_unfinished_line_is_left_out():
    sheet = as_grid(np.stack([flat(value, 1) for value in range(5)]), 2)
    assert sheet.shape == (2 * 8 + GAP, 2 * 8 + GAP, 4)
    assert (sheet[8 + GAP :, 8 + GAP :] == [3, 3, 3, 255]).all()


def test_the_picture_on_the_page_is_the_one_in_the_file(tmp_path):
    data = write_png(tile(flat(99)[None, None]), tmp_path / "figures" / "one.png")
    kind, _, content = data.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == (tmp_path / "figures" / "one.png").read_bytes()


def test_a_picture_stands_upright_whatever_the_look_of_figures_says(tmp_path):
    image = np.zeros((1, 1, 3, 4, 4), np.uint8)
    image[..., 0, :] = 200  # bright above
    with look():
        write_png(tile(image), tmp_path / "one.png")
    shown = matplotlib.image.imread(tmp_path / "one.png")
    assert shown[0].mean() > shown[-1].mean()


def test_every_row_of_images_has_its_name_beside_it():
    rows = {name: np.stack([flat(value)] * 3) for name, value in (("ddim 5", 10), ("heun 5", 20))}
    with look():
        (axes,) = labeled_rows(rows, 2).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ddim 5", "heun 5"]
    sheet = axes.images[0].get_array()
    assert sheet.shape == (2 * 8 + GAP, 2 * 8 + GAP, 4)
    assert [int(sheet[round(tick), 0, 0]) for tick in axes.get_yticks()] == [10, 20]
    first, second = (axes.transData.transform((0, tick))[1] for tick in axes.get_yticks())
    assert first > second  # from top to bottom


def test_distances_are_drawn_where_they_are_and_anchors_lie_across():
    lines = [Line("ddim, ema", [5, 50], [3.0, 1.0]), Line("heun, ema", [9, 99], [2.0, np.inf], 1)]
    with look():
        (axes,) = distance_against_calls(lines, {"noise": 20.0, "train": 0.5}, "Frechet").axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.lines[0].get_xydata().tolist() == [[5, 3], [50, 1]]
    low, high = axes.get_ylim()
    assert low < 0.5 < 20 < high
    texts = {text.get_text() for text in axes.texts}
    assert texts == {"noise", "train"}


def test_the_loss_has_a_tick_for_each_level():
    with look():
        (axes,) = loss_by_level([Line("unweighted", range(2), [0.5, 0.1])], ["-9 to -6", "-6 to -3"]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["-9 to -6", "-6 to -3"]


def test_the_course_shows_loss_gradient_and_the_traces_that_were_measured():
    log = [
        {"update": update, "loss": 1.0 / update, "trivial": 0.5, "gradient": 2.0} for update in range(1, 11)
    ]
    log[4] |= {"held_out": 0.7, "probe/plain/trace": 30.0, "probe/plain/trace_sem": 2.0}
    log[9] |= {"held_out": 0.6, "probe/plain/trace": 20.0, "probe/plain/trace_sem": None}
    with look():
        loss, gradient, trace = course(log, ["plain", "other"]).axes
    assert loss.lines[0].get_ydata()[0] == 2.0
    assert loss.lines[2].get_xydata().tolist() == [[5, 0.7], [10, 0.6]]
    assert gradient.lines[0].get_ydata().tolist() == [2.0] * 10
    assert trace.containers[0].lines[0].get_ydata().tolist() == [30.0, 20.0]


def test_the_course_shows_the_kernel_distance_where_samples_were_drawn():
    log = [{"update": update, "loss": 1.0, "trivial": 0.5, "gradient": 2.0} for update in (1, 2, 3)]
    for row, value in zip(log[1:], (0.4, 0.2), strict=True):
        row |= {"fidelity/kid": value, "fidelity/kid_standard_error": 0.1}
    with look():
        *_, distance = course(log, []).axes
    assert distance.containers[0].lines[0].get_xydata().tolist() == [[2, 0.4], [3, 0.2]]
