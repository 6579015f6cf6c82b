import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from ups.reports.animation import LONG_SIDE, MARGIN, MOST_FRAMES, STACKED_SIDE, TITLE, animate, panels

TIME = np.linspace(0.0, 1.0, 90)


def examples(num_x=6, num_y=4):
    x, y = np.meshgrid(np.linspace(0, 1, num_x), np.linspace(0, 1, num_y), indexing="ij")
    truth = np.stack([x + 2 * t for t in TIME])[None, :, None].repeat(3, 0)
    forecast = truth + 0.5 * y
    forecast[:, -1, :, 0, 0] = np.nan
    return {"truth": truth, "forecast/ours": forecast, "time": TIME}


def opened(markup):
    data = re.search(r'src="data:image/webp;base64,([^"]+)"', markup)[1]
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def made(tmp_path):
    found = panels(examples(), ["ours"], 0)
    markup = animate(found, TIME, 1.5, " s", tmp_path / "a.webp", 'the "median" <b>')
    return markup, opened(markup), tmp_path / "a.webp"


def test_it_plays_in_the_page_and_lies_beside_it(made):
    markup, image, path = made
    assert image.is_animated
    assert image.n_frames == MOST_FRAMES
    assert path.read_bytes() == base64.b64decode(re.search(r"base64,([^\"]+)", markup)[1])
    assert "http" not in markup
    assert 'alt="the &quot;median&quot; &lt;b&gt;"' in markup
    width, height = image.size
    assert (width, height) == (3 * (LONG_SIDE + MARGIN) - MARGIN, 200 + 2 * TITLE)


def pixel(image, panel, x, y, size=(300, 200)):
    """The color at parts of the domain of a panel; x to the right, y upwards."""
    left = panel * (size[0] + MARGIN) + x * size[0]
    return np.array(image.convert("RGB").getpixel((int(left), int(TITLE + (1 - y) * size[1]))), dtype=float)


def test_axes_colors_and_what_blew_up_are_where_they_should_be(made):
    _, image, _ = made
    image.seek(0)
    truth = [pixel(image, 0, x, 0.5) for x in (0.1, 0.9)]
    assert np.abs(truth[0] - truth[1]).max() > 20  # it grows with x ...
    assert np.abs(pixel(image, 0, 0.5, 0.1) - pixel(image, 0, 0.5, 0.9)).max() < 12  # ... and not with y
    white, red = pixel(image, 2, 0.5, 0.1), pixel(image, 2, 0.5, 0.9)
    assert white.min() > 225
    assert red[0] > red[2] + 60  # the error grows upwards
    image.seek(image.n_frames - 1)
    assert np.abs(pixel(image, 1, 0.05, 0.1) - 128).max() < 25


def test_a_wide_channel_is_stacked_and_short_ones_have_all_their_frames(tmp_path):
    found = panels(examples(16, 4), ["ours"], 0)
    image = opened(animate(found[:1] * 2, TIME[:5], 4.0, "", tmp_path / "b.webp", ""))
    assert image.n_frames == 5
    assert image.size == (STACKED_SIDE, 2 * (STACKED_SIDE // 4 + TITLE) + TITLE)


def test_values_share_a_scale_and_errors_are_centered():
    truth, forecast, error = panels(examples(), ["ours"], 0)
    assert (truth.low, truth.high) == (forecast.low, forecast.high) == (0.0, 3.0)
    assert -error.low == error.high == pytest.approx(0.5)
    assert len(panels(examples(), [], 0)) == 1
