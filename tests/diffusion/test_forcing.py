import torch

from ups.diffusion.exact import GaussianDenoiser, GaussianFlow
from ups.diffusion.flow_maps import ddim, sample
from ups.diffusion.forcing import autoregressive, full, pyramid
from ups.diffusion.process import Cosine


def steps_left(grid, num_steps):
    return (grid * num_steps).round().long().tolist()


def test_the_pyramid_is_the_published_matrix():
    assert steps_left(pyramid(3, 2, 1.0), 2) == [[2, 2, 2], [1, 2, 2], [0, 1, 2], [0, 0, 1], [0, 0, 0]]
    assert steps_left(pyramid(4, 3, 0.5), 3) == [
        [3, 3, 3, 3],
        [2, 2, 3, 3],
        [1, 1, 2, 2],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
    ]


def test_one_frame_after_the_other_is_the_published_matrix():
    expected = [[2, 2, 2], [1, 2, 2], [0, 2, 2], [0, 1, 2], [0, 0, 2], [0, 0, 1], [0, 0, 0]]
    assert steps_left(autoregressive(3, 2), 2) == expected


def test_all_frames_together_are_ordinary_sampling():
    grid = full(3, 5)
    assert torch.equal(grid, torch.linspace(1, 0, 6, dtype=torch.float64)[:, None].expand(6, 3))


def test_every_order_of_frames_ends_at_the_same_place_for_independent_frames():
    noise = torch.tensor([[[1.0], [-2.0], [0.5]]], dtype=torch.float64)
    flow = GaussianFlow(Cosine(), 0.5)
    for grid in (full(3, 4), pyramid(3, 4, 1.0), autoregressive(3, 4)):
        torch.testing.assert_close(sample(flow, noise, grid), 0.5 * noise, rtol=0, atol=1e-14)
    deterministic = [
        sample(ddim(GaussianDenoiser(Cosine(), 0.5)), noise, g) for g in (full(3, 4), pyramid(3, 4, 1.5))
    ]
    torch.testing.assert_close(deterministic[0], deterministic[1], rtol=0, atol=1e-14)
