import torch

from lines import on_line
from ups.types import Trajectory

FIELDS = on_line(names=("u",), units=("1",), extent=1.0, dt=0.1, cells=3)


def test_window_and_select_cut_the_right_axes():
    values = torch.arange(2 * 5 * 1 * 3.0).reshape(2, 5, 1, 3)
    trajectory = Trajectory(values, torch.tensor([[1.0], [2.0]]), FIELDS)
    cut = trajectory.select(torch.tensor([1])).window(2, 2)
    assert torch.equal(cut.values, values[1:2, 2:4])
    assert cut.params.tolist() == [[2.0]]
    assert len(cut) == 1
    assert cut.fields is FIELDS


def test_a_window_is_a_view():
    trajectory = Trajectory(torch.zeros(1, 4, 1, 3), torch.zeros(1, 0), FIELDS)
    trajectory.window(1, 2).values.fill_(1.0)
    assert trajectory.values.sum() == 6
