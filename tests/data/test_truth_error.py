import torch

from ups.data.truth_error import affordable, truth_error
from ups.solvers.equations import Burgers, Heat, KuramotoSivashinsky
from ups.solvers.initial import clean
from ups.streams import stream
from ups.types import Axis, Grid, line

TIMES = 0.05 * torch.arange(4, dtype=torch.float64)


def test_an_exact_solver_has_none():
    start = clean(3, 64, 1.0, stream(1, "truth"))
    assert truth_error(Heat(0.01), start, TIMES, line(64), are_averages=False) < 1e-13


def test_that_of_a_second_order_scheme_falls_to_a_quarter():
    errors = [
        truth_error(Burgers(0.3), clean(3, n, 1.0, stream(2, "truth")), TIMES, line(n), are_averages=True)
        for n in (64, 128, 256)
    ]
    assert 3 < errors[0] / errors[1] < 5.5, errors
    assert 3 < errors[1] / errors[2] < 5.5, errors


def test_what_blows_up_on_the_finer_grid_has_no_number():
    start = 1e150 * clean(1, 16, 20.0, stream(3, "truth"))
    assert truth_error(KuramotoSivashinsky(), start, TIMES, line(16, 20.0), are_averages=False) is None


def test_on_large_grids_it_takes_a_fiftieth_of_the_work_of_the_data():
    assert affordable(400, 41, line(1024)) == (8, 41)
    for cells in (64, 128):
        plane = Grid((Axis("x", cells, 1.0), Axis("y", cells, 1.0)))
        for num in (20, 96, 1000):
            checked, frames = affordable(num, 51, plane)
            assert 1 <= checked <= 2
            assert 2 <= frames <= 51
            assert 27 * checked * (frames - 2) <= num * 51 / 50
