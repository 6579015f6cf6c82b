import math

import pytest
import torch

from ups.solvers.resampling import antiderivative, averages_of, points_of, resample
from ups.streams import stream


def averages(num_cells, offset=0.3):
    edges = torch.arange(num_cells + 1, dtype=torch.float64) / num_cells
    integral = -torch.cos(2 * math.pi * edges) / (2 * math.pi) + torch.sin(6 * math.pi * edges) / (
        6 * math.pi
    )
    return (offset + torch.diff(integral) * num_cells)[None]


@pytest.mark.parametrize("new", [1, 7, 16, 48, 64, 96, 100, 192, 1000])
def test_the_mean_is_conserved_to_round_off_for_any_two_grids(new):
    u = torch.rand(5, 48, generator=stream(0, "resample"), dtype=torch.float64)
    assert (resample(u, new).mean(1) - u.mean(1)).abs().max() < 1e-14


def test_coarsening_by_an_integer_is_the_block_mean():
    u = torch.rand(5, 48, generator=stream(1, "resample"), dtype=torch.float64)
    torch.testing.assert_close(resample(u, 12), u.reshape(5, 12, 4).mean(2), rtol=0, atol=1e-14)


def test_refining_and_coarsening_again_gives_the_frame_back():
    u = torch.rand(5, 48, generator=stream(2, "resample"), dtype=torch.float64)
    torch.testing.assert_close(resample(resample(u, 144), 48), u, rtol=0, atol=1e-13)


@pytest.mark.parametrize("ratio", [2, 4, 1.5, 0.75])
def test_new_averages_are_third_order_accurate(ratio):
    errors = [
        (resample(averages(n), int(n * ratio)) - averages(int(n * ratio))).abs().max().item()
        for n in (32, 64, 128)
    ]
    assert errors[0] / errors[1] > 6.5
    assert errors[1] / errors[2] > 6.5


def test_grids_share_their_edges_not_their_centers():
    # a step at the middle edge must stay there, on either side and unsmeared when coarsened
    u = torch.cat([torch.zeros(1, 8), torch.ones(1, 8)], 1).double()
    torch.testing.assert_close(resample(u, 4), torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64))


def test_the_same_grid_is_left_untouched():
    u = averages(16)
    assert torch.equal(resample(u, 16), u)


def test_the_antiderivative_of_a_constant_slope_is_exact_between_edges():
    u = torch.tensor([[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    nodes = torch.tensor([0.0, 1.0, 1.25, 1.5, 4.5], dtype=torch.float64)
    expected = torch.tensor([[0.0, -1.0, -1.25, -1.5, -1.5]], dtype=torch.float64)
    torch.testing.assert_close(antiderivative(u, nodes), expected, rtol=0, atol=1e-14)


def points(num_cells, offset=0.3):
    x = (torch.arange(num_cells, dtype=torch.float64) + 0.5) / num_cells
    return (offset + torch.sin(2 * math.pi * x) + torch.cos(6 * math.pi * x))[None]


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1, 1.5, 2])
def test_points_and_averages_convert_into_each_other_at_high_order(ratio):
    sampled, averaged = [], []
    for n in (64, 128):
        sampled.append((points_of(averages(n), int(n * ratio)) - points(int(n * ratio))).abs().max().item())
        averaged.append((averages_of(points(n)) - averages(n)).abs().max().item())
    assert sampled[0] / sampled[1] > 13
    assert averaged[0] / averaged[1] > 13


def test_points_that_become_averages_keep_their_mean():
    u = torch.rand(5, 48, generator=stream(3, "resample"), dtype=torch.float64)
    assert (averages_of(u).mean(1) - u.mean(1)).abs().max() < 1e-14


@pytest.mark.parametrize("new", [12, 48, 96, 100])
def test_resampling_and_sampling_commute_with_reflection(new):
    u = torch.rand(5, 48, generator=stream(4, "resample"), dtype=torch.float64)
    for read in (resample, points_of):
        torch.testing.assert_close(read(u.flip(1), new), read(u, new).flip(1), rtol=0, atol=1e-13)
