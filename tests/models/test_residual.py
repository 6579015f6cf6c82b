import math

import pytest
import torch

from ups.models.residual import ResidualSpectrum, mode_powers
from ups.streams import stream

SIZES = [7, 8]  # an odd line has no shortest wave; the one of an even line is real


def spectrum(num_tokens, dim=2):
    """Powers that fall by a factor of hundreds, differently for each channel."""
    mode = torch.arange(num_tokens // 2 + 1)[:, None]
    return ResidualSpectrum(3 * torch.exp(-mode * torch.linspace(0.4, 1.2, dim)), num_tokens)


def covariance(law):
    """The circulant matrix of each channel, from a sum of cosines over all N modes: S is the eigenvalue of mode k."""
    num = law.num_tokens
    place = torch.arange(num, dtype=torch.float64)
    matrix = torch.zeros(law.power.shape[1], num, num, dtype=torch.float64)
    for mode in range(num):
        power = law.power[min(mode, num - mode)].double()
        wave = torch.cos(2 * math.pi * mode * (place[:, None] - place) / num) / num
        matrix += power[:, None, None] * wave
    return matrix


def draw(law, num, seed=0):
    return law.sample(num, stream(seed, "residuals"))


@pytest.mark.parametrize("num_tokens", SIZES)
def test_samples_have_the_covariance_of_the_spectrum_the_mean_and_the_shortest_wave_included(num_tokens):
    law, num = spectrum(num_tokens), 40_000
    x, expected = draw(law, num).double(), covariance(law)
    for channel in range(2):
        measured = x[..., channel].T @ x[..., channel] / num
        variance = expected[channel].diagonal()
        error = ((variance[:, None] * variance + expected[channel].square()) / num).sqrt()
        assert ((measured - expected[channel]) / error).abs().max() < 4.5
    across = x[..., 0].T @ x[..., 1] / num
    assert (across * math.sqrt(num) / (law.std[0] * law.std[1])).abs().max() < 4.5
    assert (x.mean(0) * math.sqrt(num) / law.std).abs().max() < 4.5


@pytest.mark.parametrize("num_tokens", SIZES)
@pytest.mark.parametrize("place", ["mean", "shortest"])
def test_one_mode_alone_has_the_variance_of_its_power(num_tokens, place):
    mode = 0 if place == "mean" else num_tokens // 2
    power = torch.zeros(num_tokens // 2 + 1, 1)
    power[mode] = num_tokens
    law, num = ResidualSpectrum(power, num_tokens), 20_000
    # a real mode is one of the N of the line, a complex one stands for two of them: sine and cosine
    freedom = 1 if mode == 0 or 2 * mode == num_tokens else 2
    assert law.std.item() == pytest.approx(math.sqrt(freedom))
    energy = draw(law, num).square().mean((1, 2))  # chi squared of that freedom, with variance 2 freedom
    assert energy.mean().item() == pytest.approx(freedom, abs=4.5 * math.sqrt(2 * freedom / num))
    assert energy.var().item() == pytest.approx(2 * freedom, rel=0.15)


@pytest.mark.parametrize("num_tokens", SIZES)
def test_the_spectrum_of_its_samples_is_itself(num_tokens):
    law, num = spectrum(num_tokens), 40_000
    measured = mode_powers(draw(law, num))
    assert (measured / law.power - 1).abs().max() < 4.5 * math.sqrt(2 / num)
    again = ResidualSpectrum(measured, num_tokens)
    torch.testing.assert_close(again.std, draw(law, num).square().mean((0, 1)).sqrt(), rtol=1e-5, atol=0)


def test_white_noise_has_its_variance_at_every_mode_and_a_constant_has_the_first_alone():
    white = 0.3 * torch.randn(20_000, 9, 1, generator=stream(0, "white"))
    assert (mode_powers(white) / 0.09 - 1).abs().max() < 0.05
    constant = mode_powers(torch.full((3, 9, 1), -2.0))
    assert constant[0].item() == pytest.approx(9 * 4)
    assert constant[1:].abs().max() < 1e-12


@pytest.mark.parametrize("num_tokens", SIZES)
@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.1), (0.8, 0.6), (0.3, 1.0)])
def test_no_linear_map_beats_the_wiener_error_and_least_squares_reach_it(num_tokens, alpha, sigma):
    law, num = spectrum(num_tokens), 60_000
    clean = (draw(law, num) / law.std).flatten(1).double()
    noise = torch.randn(clean.shape, generator=stream(0, "noise"), dtype=torch.float64)
    noisy = alpha * clean + sigma * noise
    half = num // 2  # fit on one half, measure on the other
    matrix = torch.linalg.lstsq(noisy[:half], clean[:half]).solution
    regression = (noisy[half:] @ matrix - clean[half:]).square().mean().item()
    bound = law.wiener_error(torch.tensor(alpha), torch.tensor(sigma)).item()
    assert regression == pytest.approx(bound, rel=0.015)


@pytest.mark.parametrize("num_tokens", SIZES)
def test_the_wiener_error_is_that_of_the_matrix_formula_at_every_level(num_tokens):
    law = spectrum(num_tokens, dim=3)
    alpha, sigma = torch.tensor([[0.0, 0.2], [0.9, 1.0]]), torch.tensor([[1.0, 0.7], [0.3, 1e-3]])
    unit, expected = covariance(law) / law.std.double().square()[:, None, None], torch.zeros(2, 2)
    eye = torch.eye(num_tokens, dtype=torch.float64)
    for i in range(2):
        for j in range(2):
            a, s = alpha[i, j].double(), sigma[i, j].double()
            gain = a * unit @ torch.linalg.inv(a**2 * unit + s**2 * eye)
            left = unit - a * gain @ unit
            expected[i, j] = left.diagonal(dim1=-2, dim2=-1).mean().float()
    torch.testing.assert_close(law.wiener_error(alpha, sigma), expected, rtol=1e-4, atol=1e-8)


def test_the_wiener_error_does_not_depend_on_the_units_and_white_noise_is_the_hardest():
    law, level = spectrum(8), (torch.tensor([0.9, 0.5]), torch.tensor([0.4, 0.9]))
    larger = ResidualSpectrum(1e-6 * law.power, 8)
    torch.testing.assert_close(larger.wiener_error(*level), law.wiener_error(*level))
    white = ResidualSpectrum(torch.ones(5, 2), 8).wiener_error(*level)
    torch.testing.assert_close(white, level[1] ** 2 / (level[0] ** 2 + level[1] ** 2))
    assert (law.wiener_error(*level) < white).all()


def test_equal_generators_draw_equal_samples_and_the_law_travels_with_a_module():
    law = spectrum(8)
    assert torch.equal(draw(law, 3), draw(law, 3))
    assert not torch.equal(draw(law, 3), draw(law, 3, seed=1))
    empty = ResidualSpectrum(torch.zeros(5, 2), 8)
    empty.load_state_dict(law.state_dict())
    assert torch.equal(draw(empty, 3), draw(law, 3))


def test_a_spectrum_of_another_length_is_refused():
    with pytest.raises(ValueError, match="8 tokens have 5 modes, not 4"):
        ResidualSpectrum(torch.ones(4, 1), 8)
