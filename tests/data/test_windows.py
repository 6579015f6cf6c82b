from dataclasses import replace

import pytest
import torch

from lines import on_line
from ups.data.windows import draw_windows
from ups.streams import stream
from ups.types import Trajectory, UserError

FIELDS = on_line(("u", "v"), None, 1.0, 0.1, params=("nu",), cells=3)


def numbered(num=7, frames=10):
    """Every value tells its trajectory and frame."""
    number = 100 * torch.arange(num)[:, None] + torch.arange(frames)
    return Trajectory(
        number[:, :, None, None].expand(-1, -1, 2, 3).float(), torch.arange(num)[:, None].float(), FIELDS
    )


def test_windows_are_consecutive_frames_of_one_trajectory_with_its_params():
    windows = draw_windows(numbered(), 50, 4, stream(0, "windows"))
    assert windows.values.shape == (50, 4, 2, 3)
    assert (windows.values.diff(dim=1) == 1).all()
    assert torch.equal(windows.values[:, 0, 0, 0] // 100, windows.params[:, 0])


def test_windows_cover_every_place_uniformly():
    windows = draw_windows(numbered(), 35_000, 6, stream(1, "windows"))
    first = windows.values[:, 0, 0, 0].long()
    places = (first // 100) * 5 + first % 100
    counts = places.bincount(minlength=35).double()
    chi_square = ((counts - 1000).square() / 1000).sum()
    assert counts.shape == (35,)
    assert 12.0 < chi_square < 70.0  # 34 degrees of freedom: both tails below 4e-4


def test_constants_and_actions_go_with_their_trajectory_and_frames():
    data = numbered()
    constants = data.params[:, :, None].expand(-1, 1, 3)
    data = replace(data, constants=constants, actions=data.values[:, :, 0, :1])
    windows = draw_windows(data, 50, 4, stream(0, "windows"))
    assert torch.equal(windows.constants[:, 0, 0], windows.params[:, 0])
    assert torch.equal(windows.actions, windows.values[:, :, 0, :1])


def test_the_generator_alone_decides():
    one, two, other = (draw_windows(numbered(), 20, 3, stream(0, "w", k)).values for k in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_whole_trajectory_is_a_window_and_a_longer_one_an_error():
    assert draw_windows(numbered(), 5, 10, stream(0, "w")).values.shape[1] == 10
    with pytest.raises(UserError, match="10 frames but a window needs 11"):
        draw_windows(numbered(), 5, 11, stream(0, "w"))
