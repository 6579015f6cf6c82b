import math
from itertools import product

import pytest
import torch

from ups.diffusion.process import Cosine, Linear
from ups.models.residual import LARGEST_GAIN, ResidualSpectrum, SpectralGain, Wiener
from ups.models.token_waves import TokenWaves, mode_powers
from ups.streams import stream
from ups.types import WALL, Axis, Grid, line

LINEAR = Linear()
GRIDS = {
    "odd line": line(7),  # has no shortest wave; the one of an even line is real
    "even line": line(8),
    "walled line": Grid((Axis("x", 6, 1.0, low=WALL, high=WALL),)),
    "plane": Grid((Axis("x", 4, 1.0), Axis("y", 5, 1.0))),
    "channel": Grid((Axis("x", 4, 1.0), Axis("y", 3, 1.0, low=WALL, high=WALL))),
}
on_grids = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def number(axis):
    """Mode numbers along the whole of an axis, -k as k."""
    mode = torch.arange(axis.cells)
    return torch.minimum(mode, axis.cells - mode) if axis.is_periodic else mode


def spectrum(grid, dim=2):
    """Powers that fall by a factor of hundreds, differently for each channel and axis."""
    shape = TokenWaves(grid).mode_shape
    lines = [
        (1 + 0.3 * place) * number(axis)[:n]
        for place, (axis, n) in enumerate(zip(grid.axes, shape, strict=True))
    ]
    total = sum(torch.meshgrid(*lines, indexing="ij")) if len(lines) > 1 else lines[0]
    return ResidualSpectrum(3 * torch.exp(-total[..., None] * torch.linspace(0.4, 1.2, dim)), grid)


def covariance(law):
    """The covariance of each channel as a sum over all modes, each an explicit wave or cosine of a token's place."""
    axes = law.grid.axes
    modes = [torch.arange(axis.cells) for axis in axes]
    place = [part.flatten().double() for part in torch.meshgrid(*modes, indexing="ij")]
    matrix = torch.zeros(law.power.shape[-1], len(place[0]), len(place[0]), dtype=torch.complex128)
    for mode in product(*(each.tolist() for each in modes)):
        wave = torch.ones(len(place[0]), dtype=torch.complex128)
        for k, x, axis in zip(mode, place, axes, strict=True):
            if axis.is_periodic:
                wave = wave * torch.exp(2j * math.pi * k * x / axis.cells) / math.sqrt(axis.cells)
            else:
                scale = math.sqrt((1 if k == 0 else 2) / axis.cells)
                wave = wave * scale * torch.cos(math.pi * k * (x + 0.5) / axis.cells)
        kept = tuple(
            int(number(axis)[k]) if axis.is_periodic else k for k, axis in zip(mode, axes, strict=True)
        )
        matrix += law.power[kept].double()[:, None, None] * torch.outer(wave, wave.conj())
    assert matrix.imag.abs().max() < 1e-12
    return matrix.real


def draw(law, num, seed=0):
    return law.sample(num, stream(seed, "residuals"))


@on_grids
def test_samples_have_the_covariance_of_the_spectrum_the_mean_and_the_shortest_wave_included(grid):
    law, num = spectrum(grid), 40_000
    x, expected = draw(law, num).double(), covariance(law)
    for channel in range(2):
        measured = x[..., channel].T @ x[..., channel] / num
        variance = expected[channel].diagonal()
        error = ((variance[:, None] * variance + expected[channel].square()) / num).sqrt()
        assert ((measured - expected[channel]) / error).abs().max() < 4.5
    across = x[..., 0].T @ x[..., 1] / num
    assert (across * math.sqrt(num) / (law.std[0] * law.std[1])).abs().max() < 4.5
    assert (x.mean(0) * math.sqrt(num) / law.std).abs().max() < 4.5


@pytest.mark.parametrize("num_tokens", [7, 8])
@pytest.mark.parametrize("place", ["mean", "shortest"])
def test_one_mode_alone_has_the_variance_of_its_power(num_tokens, place):
    mode = 0 if place == "mean" else num_tokens // 2
    power = torch.zeros(num_tokens // 2 + 1, 1)
    power[mode] = num_tokens
    law, num = ResidualSpectrum(power, line(num_tokens)), 20_000
    # a real mode is one of the N of the line, a complex one stands for two of them: sine and cosine
    freedom = 1 if mode == 0 or 2 * mode == num_tokens else 2
    assert law.std.item() == pytest.approx(math.sqrt(freedom))
    energy = draw(law, num).square().mean((1, 2))  # chi squared of that freedom, with variance 2 freedom
    assert energy.mean().item() == pytest.approx(freedom, abs=4.5 * math.sqrt(2 * freedom / num))
    assert energy.var().item() == pytest.approx(2 * freedom, rel=0.15)


@on_grids
def test_the_spectrum_of_its_samples_is_itself(grid):
    law, num = spectrum(grid), 40_000
    measured = mode_powers(draw(law, num), law.waves).mean(0)
    assert (measured / law.power - 1).abs().max() < 4.5 * math.sqrt(2 / num)
    again = ResidualSpectrum(measured, grid)
    torch.testing.assert_close(again.std, draw(law, num).square().mean((0, 1)).sqrt(), rtol=1e-5, atol=0)


def test_white_noise_has_its_variance_at_every_mode_and_a_constant_has_the_first_alone():
    white = 0.3 * torch.randn(20_000, 9, 1, generator=stream(0, "white"))
    assert (mode_powers(white, TokenWaves(line(9))).mean(0) / 0.09 - 1).abs().max() < 0.05
    constant = mode_powers(torch.full((3, 9, 1), -2.0), TokenWaves(line(9))).mean(0)
    assert constant[0].item() == pytest.approx(9 * 4)
    assert constant[1:].abs().max() < 1e-12


@on_grids
@pytest.mark.parametrize("t", [0.1, 0.4, 0.8])
def test_no_linear_map_beats_the_wiener_denoiser_and_least_squares_reach_it(grid, t):
    law, num = spectrum(grid), 60_000
    clean = draw(law, num) / law.std
    noise = torch.randn(clean.shape, generator=stream(0, "noise"))
    level = torch.full((num,), t)
    noisy = LINEAR.corrupt(clean, noise, level)
    error = (Wiener(law, LINEAR)(noisy, level) - clean).square().mean().item()
    x, y, half = noisy.flatten(1).double(), clean.flatten(1).double(), num // 2
    matrix = torch.linalg.lstsq(x[:half], y[:half]).solution  # fit on one half, measure on the other
    regression = (x[half:] @ matrix - y[half:]).square().mean().item()
    assert regression == pytest.approx(error, rel=0.015)


@on_grids
@pytest.mark.parametrize("process", [LINEAR, Cosine()])
def test_the_wiener_denoiser_is_the_matrix_formula_at_every_level(grid, process):
    law, level = spectrum(grid, dim=3), torch.tensor([0.01, 0.3, 0.7, 1.0])
    num_tokens = math.prod(grid.shape)
    x_t = torch.randn(4, num_tokens, 3, generator=stream(0, "noisy"))
    unit = covariance(law) / law.std.double().square()[:, None, None]
    alpha, sigma = (scale[:, None, None, None] for scale in process.finite_scales(level))
    eye = torch.eye(num_tokens, dtype=torch.float64)
    gain = alpha * unit @ torch.linalg.inv(alpha**2 * unit + sigma**2 * eye)
    expected = torch.einsum("bdij,bjd->bid", gain, x_t.double()).float()
    torch.testing.assert_close(Wiener(law, process)(x_t, level), expected, rtol=1e-4, atol=1e-5)


def test_the_wiener_denoiser_does_not_depend_on_the_units_and_white_noise_only_shrinks():
    law, level = spectrum(line(8)), torch.tensor([0.1, 0.5, 0.9])
    x_t = torch.randn(3, 8, 2, generator=stream(0, "noisy"))
    larger = ResidualSpectrum(1e-6 * law.power, line(8))
    torch.testing.assert_close(Wiener(larger, LINEAR)(x_t, level), Wiener(law, LINEAR)(x_t, level))
    white = Wiener(ResidualSpectrum(torch.ones(5, 2), line(8)), LINEAR)(x_t, level)
    alpha, sigma = LINEAR.scales_for(level, x_t)
    torch.testing.assert_close(white, alpha / (alpha**2 + sigma**2) * x_t)


def test_equal_generators_draw_equal_samples_and_the_law_travels_with_a_module():
    law = spectrum(line(8))
    assert torch.equal(draw(law, 3), draw(law, 3))
    assert not torch.equal(draw(law, 3), draw(law, 3, seed=1))
    empty = ResidualSpectrum(torch.zeros(5, 2), line(8))
    empty.load_state_dict(law.state_dict())
    assert torch.equal(draw(empty, 3), draw(law, 3))


def test_a_spectrum_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"8 tokens have \(5,\) modes, not \(4,\)"):
        ResidualSpectrum(torch.ones(4, 1), line(8))


@on_grids
def test_draws_that_are_scaled_mode_by_mode_are_scaled_back(grid):
    law, num = spectrum(grid), 20_000
    wrong = 0.6 + 0.9 * law.power[..., :1] / law.power.max()
    drawn = ResidualSpectrum(law.power * wrong.square(), grid)
    gain = SpectralGain(grid, 2)
    gain.match(mode_powers(draw(drawn, num, 0), law.waves), mode_powers(draw(law, num, 1), law.waves))
    torch.testing.assert_close(gain.gain * wrong, torch.ones_like(law.power), rtol=0.05, atol=0)
    matched = mode_powers(gain(draw(drawn, num, 2)), law.waves).mean(0)
    torch.testing.assert_close(matched, law.power.double(), rtol=0.07, atol=0)


def test_most_of_what_is_chance_is_left_alone():
    """Twenty draws of one law: the right gain is 1, and the powers differ by chance."""
    law, gain = spectrum(line(64)), SpectralGain(line(64), 2)
    one, two = (mode_powers(draw(law, 20, seed), law.waves) for seed in (0, 1))
    gain.match(one, two)
    plain = (two.mean(0) / one.mean(0)).sqrt()
    assert plain.log().square().mean().sqrt() > 0.1
    assert gain.gain.log().square().mean() < 0.6 * plain.log().square().mean()
    assert (gain.gain == 1).double().mean() > 0.5


def test_a_mode_that_never_occurs_is_removed_and_one_that_is_not_drawn_is_left_alone():
    some = 1 + torch.rand(100, 5, 1, generator=stream(0, "powers"))
    drawn, wanted = some.clone(), some.clone()
    wanted[:, 0], drawn[:, 1], wanted[:, 2] = 0, 0, 100 * some[:, 2]
    gain = SpectralGain(line(8), 1)
    gain.match(drawn, wanted)
    assert gain.gain[:, 0].tolist() == pytest.approx([0, 1, LARGEST_GAIN, 1, 1])
    assert gain(torch.ones(1, 8, 1)).abs().max() == 0  # the mean is exactly conserved
