import math

import pytest
import torch

from ups.evaluation.spectra import octaves, power_spectrum
from ups.streams import stream


@pytest.mark.parametrize("space", [(16,), (15,), (8, 12), (4, 6, 5)])
def test_the_spectrum_adds_up_to_the_mean_square(space):
    values = torch.randn(2, 3, 2, *space, generator=stream(0, "values"))
    mean_square = values.double().square().flatten(3).mean(-1)
    torch.testing.assert_close(power_spectrum(values).sum(-1), mean_square, rtol=1e-12, atol=0)


@pytest.mark.parametrize("wavenumber", [0, 1, 5, 8])
def test_a_pure_wave_has_its_energy_at_its_wavenumber(wavenumber):
    x = (torch.arange(16, dtype=torch.float64) + 0.5) / 16
    wave = 3.0 * torch.cos(2 * math.pi * wavenumber * (x - 0.5 / 16))
    spectrum = power_spectrum(wave.reshape(1, 1, 1, 16))[0, 0, 0]
    expected = torch.zeros(9, dtype=torch.float64)
    expected[wavenumber] = 9.0 if wavenumber in (0, 8) else 4.5
    torch.testing.assert_close(spectrum, expected, rtol=1e-12, atol=1e-12)


def test_a_plane_wave_in_two_dimensions_falls_into_the_shell_of_its_length():
    x, y = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    wave = torch.sin(2 * math.pi * (3 * x + 4 * y) / 16).reshape(1, 1, 1, 16, 16)
    assert power_spectrum(wave)[0, 0, 0, 5] == pytest.approx(0.5, rel=1e-6)


def test_octaves_gather_1_then_2_and_3_then_4_to_7_without_mean_and_nyquist():
    spectrum = torch.arange(100.0, 109.0).reshape(1, 1, 1, 9)
    expected = [101, 102 + 103, 104 + 105 + 106 + 107]
    assert octaves(spectrum)[0, 0, 0].tolist() == expected


def test_between_walls_a_cosine_of_half_waves_has_its_energy_at_its_cycles_and_no_jump_leaks():
    x = (torch.arange(16, dtype=torch.float64) + 0.5) / 16
    slope = torch.cos(math.pi * x).reshape(1, 1, 1, 16)
    spectrum = power_spectrum(slope, (True,))[0, 0, 0]
    assert spectrum[1] == pytest.approx(0.5)  # half a cycle counts to the first
    assert spectrum.sum() - spectrum[1] < 1e-12
    assert power_spectrum(slope)[0, 0, 0, 4:].sum() > 1e-3
    wave = torch.cos(6 * math.pi * x)[:, None] * torch.cos(8 * math.pi * x)
    assert power_spectrum(wave.expand(1, 1, 1, 16, 16), (True, True))[0, 0, 0, 5] == pytest.approx(0.25)


@pytest.mark.parametrize("walls", [(True, False), (True, True)])
def test_between_walls_it_adds_up_too(walls):
    values = torch.randn(2, 3, 2, 8, 5, generator=stream(0, "values"))
    mean_square = values.double().square().flatten(3).mean(-1)
    torch.testing.assert_close(power_spectrum(values, walls).sum(-1), mean_square, rtol=1e-12, atol=0)
