import math

import pytest
import torch
from torch import nn

from ups.models.autoencoder import IdentityPatches
from ups.models.colored_noise import ColoredNoise, fit_residual_spectrum
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralFlux
from ups.models.refined import Refined
from ups.models.residual import ResidualSpectrum
from ups.streams import stream
from ups.types import Fields, Stepper, Trajectory, UserError

FIELDS = Fields(("u", "v"), ("1", "1"), (1.0,), 0.1, params=("nu",))
CELLS = 16


class Shift(nn.Module):
    """The exact operator of data that move by one token a frame and shrink."""

    settings = SpectralFlux(width=4, num_blocks=1, modes=4)

    def forward(self, z, dt, params):
        return 0.9 * z.roll(1, dims=1)


def law():
    mode = torch.arange(CELLS // 2 + 1)[:, None]
    return ResidualSpectrum(0.5 * torch.exp(-mode * torch.tensor([0.3, 1.0])), CELLS)


def trajectories(num=32, frames=30, seed=0):
    """u' = 0.9 shift(u) + a draw of the law: data whose residuals under the exact operator are known."""
    generator = stream(seed, "data")
    frame, frames_ = law().sample(num, generator), []
    for _ in range(frames):
        frames_.append(frame.mT)
        frame = 0.9 * frame.roll(1, dims=1) + law().sample(num, generator)
    return Trajectory(torch.stack(frames_, 1), torch.rand(num, 1, generator=generator), FIELDS)


def emulator(normalized_on, operator=None):
    codec = IdentityPatches().build(FIELDS, CELLS, stream(0, "codec"))
    return Emulator(fit_normalizer(normalized_on), codec, operator or Shift(), FIELDS, CELLS)


def centred(data):
    """The same values with mean 0 and deviations 2 and 5: the normalizer then only scales."""
    values = data.values - data.values.mean((0, 1, 3), keepdim=True)
    values = values / values.std((0, 1, 3), keepdim=True, correction=0) * torch.tensor([[2.0], [5.0]])
    return Trajectory(values, data.params, FIELDS)


def test_the_fitted_spectrum_is_the_law_of_the_residuals():
    data = trajectories(64)
    scale = data.values.std((0, 1, 3), correction=0)
    model = emulator(data)
    model.normalizer.mean.zero_()
    fitted = fit_residual_spectrum(model, data)
    expected, num = law().power / scale.square(), 64 * 29
    assert fitted.num_tokens == CELLS
    assert (fitted.power / expected - 1).abs().max() < 4.5 * math.sqrt(2 / num)
    torch.testing.assert_close(fitted.std, law().std / scale, rtol=0.03, atol=0)


def test_the_residuals_are_those_in_tokens_one_step_ahead():
    data = centred(trajectories(3, frames=4))
    model = emulator(data)
    tokens = data.values.mT / torch.tensor([2.0, 5.0])
    residual = tokens[:, 1:] - 0.9 * tokens[:, :-1].roll(1, dims=2)
    expected = torch.fft.fft(residual.flatten(0, 1), dim=1).abs().square().mean(0) / CELLS
    fitted = fit_residual_spectrum(model, data)
    torch.testing.assert_close(fitted.power, expected[: CELLS // 2 + 1], rtol=1e-4, atol=1e-6)


def test_the_ensemble_has_the_spread_that_the_data_have():
    data = trajectories(64)
    model = emulator(data)
    model.normalizer.mean.zero_()
    noisy = ColoredNoise(model, fit_residual_spectrum(model, data))
    context, num = data.values[:1, :1].expand(8000, -1, -1, -1), 8000
    state = noisy.encode(context, data.params[:1].expand(num, -1))
    generator, variance = stream(0, "members"), torch.zeros(2)
    for _ in range(3):
        state = noisy.advance(state, generator)
        variance = (
            0.81 * variance + law().std.square()
        )  # what was added is shifted and shrinks, then more is added
    frames = noisy.decode(state)
    torch.testing.assert_close(frames.var(0).mean(-1), variance, rtol=0.05, atol=0)
    quiet = 0.9**3 * context[0, 0].roll(3, dims=-1)
    error = (frames.mean(0) - quiet) / (variance / num).sqrt()[:, None]
    assert error.abs().max() < 4.5


def test_without_residual_it_is_the_emulator():
    data = centred(trajectories(3, frames=4))
    model = emulator(data)
    noisy = ColoredNoise(model, ResidualSpectrum(torch.zeros(CELLS // 2 + 1, 2), CELLS))
    context = data.values[:, :2]
    calm = model.decode(model.advance(model.encode(context, data.params)))
    assert torch.equal(noisy.decode(noisy.advance(noisy.encode(context, data.params), stream(0, "x"))), calm)
    torch.testing.assert_close(noisy.decode(noisy.encode(context, data.params)), data.values[:, 1])


def test_equal_generators_give_equal_members_and_every_step_draws_anew():
    data = centred(trajectories(3, frames=4))
    noisy = ColoredNoise(emulator(data), law())
    assert isinstance(noisy, Stepper)
    state = noisy.encode(data.values[:, :1], data.params)
    first, again, other = (noisy.advance(state, stream(seed, "members"))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    generator = stream(0, "members")
    one, two = (noisy.advance(state, generator)[0] for _ in range(2))
    assert not torch.equal(one, two)
    assert not torch.allclose(one[0] - 0.9 * state[0][0].roll(1, 0), one[1] - 0.9 * state[0][1].roll(1, 0))
    with pytest.raises(ValueError, match="give a generator"):
        noisy.advance(state)


def test_a_codec_that_spins_up_compares_states_that_both_did():
    fields = Fields(("u",), ("1",), (1.0,), 0.1, params=("nu",))
    data = Trajectory(trajectories(4, frames=6).values[:, :, :1], torch.rand(4, 1), fields)
    codec = Refined(spin_up=3).build(fields, CELLS, stream(0, "codec"))
    model = Emulator(fit_normalizer(data), codec, Shift(), fields, CELLS)
    residuals = []
    for now in range(2, 5):
        forecast = model.advance(model.encode(data.values[:, now - 2 : now + 1], data.params))[0]
        residuals.append(model.encode(data.values[:, now - 1 : now + 2], data.params)[0] - forecast)
    fitted = fit_residual_spectrum(model, data)
    torch.testing.assert_close(fitted.std, torch.cat(residuals).square().mean((0, 1)).sqrt())
    with pytest.raises(UserError, match="3 frames have no residual; the emulator needs 4"):
        fit_residual_spectrum(model, data.window(0, 3))
