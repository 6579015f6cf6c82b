import pytest
import torch
from torch import nn

from correctors import corrected, trajectory
from ups.models.token_waves import mode_powers
from ups.record import Fitted
from ups.streams import stream
from ups.training.power import match_power
from ups.training.residuals import spread_residuals

FITTED = Fitted(10, 5.0, None, 0.5, None, 10, 0, 100)


class Blurred(nn.Module):
    """Draws of the right law whose short waves are shrunk to a half, as a cautious corrector's are."""

    def __init__(self, law, first):
        super().__init__()
        self.law, self.first = law, first

    def draw(self, given, generator):
        modes = torch.fft.rfft(self.law.sample(len(given[0]), generator), dim=1)
        modes[:, self.first :] *= 0.5
        return torch.fft.irfft(modes, n=self.law.grid.shape[0], dim=1)


def blurred():
    model, data = corrected(), trajectory(400)
    law = model.correction.spectrum
    (_, found), *_ = spread_residuals(model.emulator, data, 512)
    law.power.copy_(mode_powers(found, law.waves).mean(0))
    model.correction = Blurred(law, first=8)
    return model, data


def test_the_short_waves_that_a_correction_shrinks_are_restored():
    model, data = blurred()
    match_power("corrector", model, data, FITTED, stream(0, "power"))
    gain = model.gain.gain[:, 0]
    assert gain[8:].tolist() == pytest.approx([2.0] * 9, rel=0.1)
    assert gain[:8].tolist() == pytest.approx([1.0] * 8, rel=0.1)


def test_the_forecast_has_the_gain_and_the_time_counts_as_training():
    model, data = blurred()
    state = model.encode(data.values[:, :1], data.params)
    plain, _ = model.emulator.advance(state)
    before = model.advance(state, stream(0, "draw"))[0] - plain
    fitted = match_power("corrector", model, data, FITTED, stream(0, "power"))
    after = model.advance(state, stream(0, "draw"))[0] - plain
    power = [mode_powers(each, model.gain.waves)[:, 8:].mean().item() for each in (before, after)]
    assert power[1] / power[0] == pytest.approx(4.0, rel=0.15)
    assert fitted.seconds > FITTED.seconds


def test_a_second_match_gives_the_same_bits():
    """A resumed run matches again; it must not build on the gain that it finds."""
    model, data = blurred()
    gains = []
    for _ in range(2):
        match_power("corrector", model, data, FITTED, stream(0, "power"))
        gains.append(model.gain.gain.clone())
    assert torch.equal(*gains)


def test_windows_are_spread_over_trajectories_and_frames_and_none_is_asked_twice():
    model, data = corrected(), trajectory(6, num_frames=4)
    for count, expected in ((9, 9), (1000, 18)):
        found = torch.cat([residual for _, residual in spread_residuals(model.emulator, data, count)])
        assert len(found) == expected
        assert len(found.unique(dim=0)) == expected
