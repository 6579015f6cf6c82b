"""Frames in disguise are found, others are not, and the time does not grow with the number of pairs."""

import time

import pytest
import torch

from ups.data.likeness import find_alike, groups, kept_frames, long_waves, waves_of_all
from ups.data.simulated import Simulated

AXES = {"line": (64,), "plane": (24, 32), "box": (10, 12, 8)}


def frames(shape, num=12, fields=1, seed=0):
    """Smooth random fields with means."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(num, fields, *shape, generator=generator)
    waves = torch.fft.fftn(coarse, dim=tuple(range(2, 2 + len(shape))))
    for dim, cells in enumerate(shape, 2):
        number = (
            torch.fft
            .fftfreq(cells, 1 / cells)
            .abs()
            .reshape([-1 if d == dim else 1 for d in range(waves.ndim)])
        )
        waves = waves * (number < 4)
    return torch.fft.ifftn(waves, dim=tuple(range(2, 2 + len(shape)))).real + torch.randn(
        num, fields, *[1] * len(shape), generator=generator
    )


def moved(u, by):
    """Move by fractions of a cell, exactly for what has few waves."""
    dims = tuple(range(2, u.ndim))
    waves = torch.fft.fftn(u.double(), dim=dims)
    for dim, shift in zip(dims, by, strict=True):
        number = torch.fft.fftfreq(u.shape[dim], 1 / u.shape[dim]).double()
        turn = torch.exp(-2j * torch.pi * number * shift / u.shape[dim])
        waves = waves * turn.reshape([-1 if d == dim else 1 for d in range(u.ndim)])
    return torch.fft.ifftn(waves, dim=dims).real.float()


DISGUISES = {
    "none": lambda u: u,
    "rolled": lambda u: u.roll([3] * (u.ndim - 2), list(range(2, u.ndim))),
    "moved by a fraction of a cell": lambda u: moved(u, [2.37, 0.41, 5.9][: u.ndim - 2]),
    "mirrored along the first axis": lambda u: u.flip(2),
    "mirrored along the last axis and rolled": lambda u: u.flip(-1).roll(2, -1),
    "of the other sign, mirrored along all": lambda u: -u.flip(list(range(2, u.ndim))),
    "scaled a little": lambda u: u * (1 + 1e-6),
    "disturbed a little": lambda u: (
        u + 3e-4 * u.std() * torch.randn(u.shape, generator=torch.Generator().manual_seed(9))
    ),
}


@pytest.mark.parametrize("shape", AXES.values(), ids=AXES)
@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_frame_in_disguise_is_found_and_no_other(shape, disguise):
    known = frames(shape, fields=2)
    mine = disguise(known[[7, 2, 5]])
    others = frames(shape, fields=2, seed=1)
    found = find_alike(long_waves(torch.cat([mine, others])), long_waves(known))
    assert found.tolist() == [7, 2, 5] + [-1] * len(others)


@pytest.mark.parametrize("shape", AXES.values(), ids=AXES)
def test_a_factor_is_forgiven_where_it_is_asked_for(shape):
    known = frames(shape)
    mine = -2.5 * known[[4, 1]].flip(-1)
    assert find_alike(long_waves(mine), long_waves(known)).tolist() == [-1, -1]
    assert find_alike(long_waves(mine), long_waves(known), scaled=True).tolist() == [4, 1]


def test_waves_of_equal_sizes_and_other_phases_are_other_frames():
    x = torch.arange(64) / 64 * 2 * torch.pi
    phases = torch.linspace(0, 3, 10)[:, None]
    u = (torch.sin(3 * x) + torch.sin(5 * x + phases))[:, None]
    assert groups(u) == list(range(10))
    assert groups(torch.sin(3 * x + phases)[:, None]) == [0] * 10, "a single wave is the same one, moved"


def test_what_is_flat_or_another_grid_is_like_nothing():
    flat = torch.ones(3, 1, 32)
    assert find_alike(long_waves(flat), long_waves(flat)).tolist() == [-1] * 3
    assert find_alike(long_waves(frames((32,))), long_waves(frames((16,)))).tolist() == [-1] * 12
    assert find_alike(long_waves(frames((32,))), long_waves(frames((32,)))[:0]).tolist() == [-1] * 12


def test_later_frames_are_known_too(tmp_path):
    made = Simulated(equation="heat", num_trajectories=6, num_cells=64, num_frames=20).load(tmp_path)
    known = waves_of_all(made.values)
    assert len(known) == 6 * 20
    mine = made.values[[1, 4], [7, 13]].roll(5, -1)
    assert (find_alike(long_waves(mine), known)).tolist() == [1 * 20 + 7, 4 * 20 + 13]
    apart = torch.tensor([1, 0]), torch.arange(6).repeat_interleave(20)
    assert (find_alike(long_waves(mine), known, apart=apart)).tolist() == [-1, 4 * 20 + 13]


def test_of_too_many_frames_the_initial_ones_and_some_later_ones_are_kept(monkeypatch):
    assert list(kept_frames(10, 5)) == [0, 1, 2, 3, 4]
    monkeypatch.setattr("ups.data.likeness.MOST_FRAMES", 20)
    assert list(kept_frames(10, 5)) == [0, 3]
    assert list(kept_frames(1000, 5)) == [0]
    assert len(waves_of_all(torch.randn(10, 5, 1, 8))) == 20


def test_the_size_is_the_mean_square():
    u = frames((32,), num=3)
    assert torch.allclose(long_waves(u).abs().square().sum((1, 2)), u.square().mean((1, 2)), rtol=1e-5)


def test_a_hundred_thousand_known_frames_take_seconds():
    generator = torch.Generator().manual_seed(0)
    known = torch.view_as_complex(torch.randn(100_000, 1, 17, 2, generator=generator))
    begun = time.process_time()
    found = find_alike(known[:1000], known)
    assert found.tolist() == list(range(1000))
    assert time.process_time() - begun < 10


def test_a_thousand_frames_that_are_all_alike_take_seconds():
    """Every pair is a candidate, as where all data are one wave of random phase."""
    x = torch.arange(64) / 64 * 2 * torch.pi
    waves = torch.sin(x + torch.linspace(0, 600, 1000)[:, None])[:, None]
    begun = time.process_time()
    assert groups(waves) == [0] * 1000
    mine, each = long_waves(waves[:300]), torch.arange(1000) // 10
    found = find_alike(mine, long_waves(waves), apart=(each[:300], each))
    assert (each[found] != each[:300]).all()
    assert (found >= 0).all()
    assert time.process_time() - begun < 20
