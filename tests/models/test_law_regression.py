import math

import pytest
import torch

from ups.models.law_regression import regress_law
from ups.solvers.equations import Burgers
from ups.solvers.initial import clean
from ups.solvers.solve import solve
from ups.streams import stream

X = torch.arange(128, dtype=torch.float64) / 128


def waves(num, generator):
    phase = torch.rand(num, 3, 1, generator=generator, dtype=torch.float64)
    k = torch.tensor([1, 2, 3])[:, None]
    return (torch.sin(2 * math.pi * k * (X - phase)) / k).sum(1)


def moved(v, speed, diffusion, num_frames):
    modes = torch.fft.rfft(v)
    k = 2j * math.pi * torch.arange(modes.shape[-1])
    steps = torch.arange(num_frames)[:, None]
    return torch.fft.irfft(modes[:, None] * torch.exp((diffusion * k**2 - speed * k) * steps), n=v.shape[-1])


@pytest.mark.parametrize("num_frames", [12, 21, 41])
def test_a_linear_law_is_found_to_the_precision_of_the_sum_over_frames(num_frames):
    v = moved(waves(8, stream(0, "waves")), 0.03, 4e-4, num_frames)
    a, b, c, diffusion = regress_law(v, 3)
    assert a.item() == pytest.approx(0.03, rel=1e-3)
    assert abs(b) + abs(c) < 1e-4
    assert diffusion.item() == pytest.approx(4e-4, rel=1e-2)


def test_it_does_not_depend_on_where_the_line_begins_nor_on_its_direction():
    v = moved(waves(8, stream(0, "waves")), 0.03, 4e-4, 21)
    torch.testing.assert_close(regress_law(v.roll(17, -1), 3), regress_law(v, 3), rtol=1e-8, atol=1e-10)
    mirrored = regress_law(v.flip(-1), 3)
    torch.testing.assert_close(mirrored[0], -regress_law(v, 3)[0], rtol=1e-8, atol=0)
    torch.testing.assert_close(mirrored[-1], regress_law(v, 3)[-1], rtol=1e-8, atol=0)


def test_the_law_of_burgers_is_found_through_shocks_from_strided_samples():
    initial = clean(24, 1024, 1.0, stream(0, "initial"))
    frames = solve(Burgers(nu=0.001), initial, torch.linspace(0, 2, 41, dtype=torch.float64), 1.0)
    speed_0, speed_1, speed_2, diffusion = regress_law(frames[:, :, 0, 2::4], 3)
    dt = 0.05
    assert abs(speed_0) < 2e-3 * dt
    assert speed_1.item() == pytest.approx(dt, rel=2e-3)
    assert abs(speed_2) < 2e-3 * dt
    assert diffusion.item() == pytest.approx(0.001 / math.pi * dt, rel=0.2)


def test_two_frames_and_constant_fields_tell_nothing_and_break_nothing():
    v = waves(4, stream(0, "waves"))
    assert not regress_law(v[:, None].expand(-1, 2, -1), 3).any()
    assert not regress_law(torch.ones(4, 12, 128), 3).any()
