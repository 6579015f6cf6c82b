import numpy as np
import pytest
from data_files import plane, values, write

from messages import is_one_line_about
from ups.data import layout as layout_module
from ups.data.layout import even_axis, even_times
from ups.data.pdebench_layout import read_pdebench
from ups.types import UserError


def test_blocks_join_to_the_whole_and_hold_no_more_than_their_share(tmp_path, monkeypatch):
    data = values(num=11)
    layout = read_pdebench(write(tmp_path / "burgers.h5", {"tensor": data[:, :, 0]}, {"Nu": 1}))
    monkeypatch.setattr(layout_module, "BLOCK_BYTES", 8 * 16 * 5 * 3)
    blocks = dict(layout.blocks(10, (slice(None, None, 2), slice(None, None, 4))))
    assert list(blocks) == [0, 3, 6, 9]
    assert np.array_equal(np.concatenate(list(blocks.values())), data[:10, ::2, :, ::4])


def test_blocks_of_a_plane_count_all_its_cells(tmp_path, monkeypatch):
    data = plane(num=7, fields=1)
    layout = read_pdebench(write(tmp_path / "a.h5", {"tensor": data[:, :, 0]}, extent=(1.0, 2.0)))
    monkeypatch.setattr(layout_module, "BLOCK_BYTES", 8 * 6 * 4 * 5 * 2)
    blocks = dict(layout.blocks(7))
    assert list(blocks) == [0, 2, 4, 6]
    assert np.array_equal(np.concatenate(list(blocks.values())), data)


def test_an_axis_is_cells_around_its_centres(tmp_path):
    x = -2.0 + 3.0 * (np.arange(6) + 0.5) / 6
    assert even_axis(tmp_path, "x", x, 6) == pytest.approx((3.0, -2.0))
    assert even_axis(tmp_path, "x", x.astype(np.float32), 6) == (3.0, -2.0)


@pytest.mark.parametrize(
    "x",
    [
        np.arange(5.0),
        np.zeros(6),
        -np.arange(6.0),
        np.arange(6.0) ** 2,
        np.array([0, 1, 2, np.nan, 4, 5]),
        1e-300 * np.arange(6),
        1e300 * np.arange(6),
        np.zeros((6, 1)),
    ],
)
def test_other_coordinates_are_refused(tmp_path, x):
    with pytest.raises(UserError) as error:
        even_axis(tmp_path / "a.h5", "x", x, 6)
    assert is_one_line_about(error, tmp_path / "a.h5")


def test_times_may_be_one_more_than_the_frames(tmp_path):
    for count in (5, 6):
        times, dt = even_times(tmp_path, "t", 2 + 0.25 * np.arange(count), 5)
        assert (len(times), dt) == (count, 0.25)
    for bad in (np.arange(4.0), np.arange(7.0), np.zeros(5), np.array([0, 1, np.inf, 3, 4])):
        with pytest.raises(UserError) as error:
            even_times(tmp_path / "a.h5", "t", bad, 5)
        assert is_one_line_about(error, tmp_path / "a.h5")
