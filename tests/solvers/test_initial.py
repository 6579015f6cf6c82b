import math

import torch

from ups.solvers.initial import clean, pdebench_like, waves
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.types import WALL, Axis, Grid

NUM, CELLS = 4000, 256


def frames():
    return pdebench_like(NUM, CELLS, 1.0, stream(0, "initial"))[:, 0]


def seam(u):
    """Jump across the periodic boundary beyond what the slopes at both ends explain."""
    return (u[:, 0] - u[:, -1]).abs()


def test_one_frame_in_ten_is_windowed():
    u = frames()
    ends = torch.cat([u[:, :8], u[:, -8:]], 1).abs().amax(1)
    fraction = (ends < 1e-3).double().mean().item()
    assert abs(fraction - 0.1) < 4 * math.sqrt(0.09 / NUM)


def test_one_frame_in_ten_is_rectified():
    # a frame of one sign with a kink: where |u| touches zero its slope jumps
    u = frames()
    curvature = torch.diff(u, n=2).abs().amax(1)
    smooth = curvature < 4 * (2 * math.pi * 8 / CELLS) ** 2
    one_sign = (u.amin(1) >= 0) | (u.amax(1) <= 0)
    touches = u.abs().amin(1) < 0.03
    windowed = u[:, :8].abs().amax(1) < 1e-3
    rectified = one_sign & touches & ~windowed
    assert 0.05 < rectified.double().mean() < 0.13
    assert smooth.double().mean() > 0.8


def test_signs_are_even():
    mean = frames().mean(1)
    positive = (mean > 0).double().mean().item()
    assert abs(positive - 0.5) < 4 * math.sqrt(0.25 / NUM)


def test_modes_that_are_not_drawn_leave_an_offset():
    # two or three offsets A sin(phase), each of variance 1/6, plus the means of |u|: far from zero-mean
    u = frames()
    plain = u[(u[:, :8].abs().amax(1) > 1e-3) & ~((u.amin(1) >= 0) | (u.amax(1) <= 0))]
    assert 0.3 < plain.mean(1).std() < 0.7


def test_a_mode_drawn_twice_doubles_its_wavenumber():
    # modes above 4 occur only as 2 x 3 and 2 x 4: 1/16 of the frames each, in those that are smooth
    spectrum = torch.fft.rfft(frames()).abs() / CELLS
    for mode in (6, 8):
        neighbors = (spectrum[:, mode - 1] + spectrum[:, mode + 1]) / 2
        peaked = (spectrum[:, mode] > 0.05) & (spectrum[:, mode] > 4 * neighbors)
        assert 0.04 < peaked.double().mean() < 0.08


def test_waves_miss_periodicity_by_a_cell_but_clean_ones_do_not():
    # A wave whose wavelength divides (N - 1) dx has u(x_{N-1}) = u(x_0) exactly, instead of u(x_N) = u(x_0)
    u = frames()
    whole = (u[:, 0] - u[:, -1]).abs() < 1e-12
    assert whole.double().mean() > 0.85
    smooth = clean(NUM, CELLS, 1.0, stream(0, "initial"))[:, 0]
    assert ((smooth[:, 0] - smooth[:, -1]).abs() < 1e-12).double().mean() < 0.01


def test_amplitudes_stay_in_their_range():
    u = frames()
    assert u.abs().max() <= 4
    assert 1.2 < u.abs().amax(1).mean() < 1.8


def test_clean_frames_hold_modes_one_to_four_and_nothing_else():
    u = clean(200, CELLS, 3.0, stream(1, "clean"))
    assert u.shape == (200, 1, CELLS)
    assert u.dtype == torch.float64
    spectrum = 2 * torch.fft.rfft(u[:, 0]).abs() / CELLS
    assert spectrum[:, 0].max() < 1e-12
    assert spectrum[:, 5:].max() < 1e-12
    amplitudes = spectrum[:, 1:5]
    assert amplitudes.max() <= 1
    assert abs(amplitudes.mean().item() - 0.5) < 4 * math.sqrt(1 / 12 / 800)


def test_frames_are_a_function_of_the_generator_and_of_the_domain_only_by_its_scale():
    a = pdebench_like(5, 64, 1.0, stream(2, "same"))
    b = pdebench_like(5, 64, 16.0, stream(2, "same"))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert not torch.equal(a, pdebench_like(5, 64, 1.0, stream(3, "same")))


def test_a_finer_grid_samples_the_same_clean_functions():
    coarse = clean(5, 64, 1.0, stream(4, "grid"))
    fine = clean(5, 192, 1.0, stream(4, "grid"))
    torch.testing.assert_close(fine[..., 1::3], coarse, rtol=0, atol=1e-12)


def test_waves_continue_smoothly_through_walls_and_around_periodic_axes():
    grid = Grid((Axis("x", 48, 2.0), Axis("y", 36, 1.0, low=WALL, high=WALL)))
    frames = waves(50, grid, stream(3, "waves"))
    assert frames.mean((2, 3)).abs().max() < 1e-12
    assert 0.3 < frames.std() < 1.5
    power = Modes(grid).forth(frames[:, 0]).abs().square().mean(0)
    power[:5, :5] = power[-4:, :5] = 0  # at most four waves an axis
    assert power.max() < 1e-18
