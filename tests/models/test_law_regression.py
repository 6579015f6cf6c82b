import math

import pytest
import torch

from ups.models.law_regression import regress_law
from ups.solvers.equations import Burgers
from ups.solvers.initial import clean
from ups.solvers.solve import solve
from ups.streams import stream

X = torch.arange(128, dtype=torch.float64) / 128
NOTHING = torch.zeros(8, 0)


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
    law = regress_law(v, NOTHING, 3)
    (a, b, c), diffusion = law.speed[:, 0], law.log_diffusion[0].exp()
    assert a.item() == pytest.approx(0.03, rel=1e-3)
    assert abs(b) + abs(c) < 1e-4
    assert diffusion.item() == pytest.approx(4e-4, rel=1e-2)


def test_it_does_not_depend_on_where_the_line_begins_nor_on_its_direction():
    v = moved(waves(8, stream(0, "waves")), 0.03, 4e-4, 21)
    law, rolled, mirrored = (regress_law(x, NOTHING, 3) for x in (v, v.roll(17, -1), v.flip(-1)))
    torch.testing.assert_close(rolled.speed, law.speed, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(rolled.log_diffusion, law.log_diffusion)
    torch.testing.assert_close(mirrored.speed[0], -law.speed[0], rtol=1e-8, atol=0)
    torch.testing.assert_close(mirrored.log_diffusion, law.log_diffusion)


def test_speeds_that_follow_a_parameter_and_a_diffusion_over_decades_are_found():
    generator = stream(0, "params")
    p = torch.rand(48, 2, generator=generator, dtype=torch.float64) * 2 - 1
    initial = waves(48, generator)
    v = torch.stack([
        moved(initial[i : i + 1], 0.02 + 0.01 * x, 3e-4 * math.exp(2.3 * y), 41)[0]
        for i, (x, y) in enumerate(p.tolist())
    ])
    law = regress_law(v, p, 2)
    wanted = torch.tensor([[0.02, 0.01, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(law.speed, wanted, rtol=0, atol=1e-4)
    wanted = torch.tensor([math.log(3e-4), 0.0, 2.3], dtype=torch.float64)
    torch.testing.assert_close(law.log_diffusion, wanted, rtol=0, atol=0.05)


def test_a_parameter_that_never_varies_changes_nothing():
    v = moved(waves(8, stream(0, "waves")), 0.03, 4e-4, 21)
    bare, told = regress_law(v, NOTHING, 3), regress_law(v, torch.zeros(8, 1), 3)
    torch.testing.assert_close(told.speed[:, 0], bare.speed[:, 0])
    torch.testing.assert_close(told.log_diffusion[0], bare.log_diffusion[0])
    assert told.speed[:, 1].abs().max() < 1e-12
    assert told.log_diffusion[1].abs() < 1e-12


def test_the_law_of_burgers_is_found_through_shocks_from_strided_samples():
    initial = clean(24, 1024, 1.0, stream(0, "initial"))
    frames = solve(Burgers(nu=0.001), initial, torch.linspace(0, 2, 41, dtype=torch.float64), 1.0)
    law = regress_law(frames[:, :, 0, 2::4], torch.zeros(24, 0), 3)
    (speed_0, speed_1, speed_2), diffusion = law.speed[:, 0], law.log_diffusion[0].exp()
    dt = 0.05
    assert abs(speed_0) < 2e-3 * dt
    assert speed_1.item() == pytest.approx(dt, rel=2e-3)
    assert abs(speed_2) < 2e-3 * dt
    assert diffusion.item() == pytest.approx(0.001 / math.pi * dt, rel=0.2)


def test_two_frames_and_constant_fields_tell_nothing_and_break_nothing():
    v = waves(4, stream(0, "waves"))
    for frames in (v[:, None].expand(-1, 2, -1), torch.ones(4, 12, 128)):
        law = regress_law(frames, torch.zeros(4, 0), 3)
        assert not law.speed.any()
        assert law.log_diffusion[0].exp() < 1e-11
