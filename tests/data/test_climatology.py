import pytest
import torch

from lines import on_line
from ups.data.climatology import Climatology
from ups.streams import stream
from ups.types import Stepper, Trajectory

FIELDS = on_line(("u",), ("1",), 1.0, 100.0, params=("nu",), cells=4)


def training():
    """Last frames 0, 1, ..., 5; nu is 1 for the first two, 2 for the others."""
    values = torch.full((6, 2, 1, 4), -1.0)
    values[:, 1] = torch.arange(6.0)[:, None, None]
    return Trajectory(values, torch.tensor([1.0, 1.0, 2.0, 2.0, 2.0, 2.0])[:, None], FIELDS)


def draw(nu, num=6000):
    stepper = Climatology(training().values[:, -1], training().params)
    assert isinstance(stepper, Stepper)
    state = stepper.encode(torch.full((num, 1, 1, 4), 9.0), torch.full((num, 1), nu))
    return stepper.decode(stepper.advance(state, stream(0, "draw")))


@pytest.mark.parametrize(
    ("nu", "ends"), [(1.0, [0, 1]), (2.0, [2, 3, 4, 5]), (1.4, [0, 1]), (7.0, [2, 3, 4, 5])]
)
def test_the_last_frames_of_the_nearest_parameters_come_equally_often(nu, ends):
    frames = draw(nu)
    assert (frames == frames[..., :1]).all()
    found, counts = frames[:, 0, 0].unique(return_counts=True)
    assert found.tolist() == ends
    expected = 6000 / len(ends)
    assert ((counts - expected).square() / expected).sum() < 17


def test_a_row_draws_for_its_own_parameters():
    stepper = Climatology(training().values[:, -1], training().params)
    params = torch.tensor([1.0, 2.0] * 500)[:, None]
    frames, _ = stepper.advance(stepper.encode(torch.zeros(1000, 1, 1, 4), params), stream(1, "draw"))
    assert (frames[::2] < 2).all()
    assert (frames[1::2] >= 2).all()


def test_it_draws_from_the_generator_alone():
    assert torch.equal(draw(2.0, 50), draw(2.0, 50))
    stepper = Climatology(training().values[:, -1], training().params)
    with pytest.raises(ValueError, match="generator"):
        stepper.advance(stepper.encode(torch.zeros(1, 1, 1, 4), torch.ones(1, 1)))
