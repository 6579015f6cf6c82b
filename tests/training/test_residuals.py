import math

import pytest
import torch
from torch import nn

from lines import on_its_grid, on_line
from ups.models.autoencoder import IdentityPatches
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralFlux
from ups.models.refined import Refined
from ups.models.residual import ResidualSpectrum
from ups.streams import stream
from ups.training.residuals import residual_spectrum, residuals
from ups.types import UserError, line

FIELDS = on_line(("u", "v"), ("1", "1"), 1.0, 0.1, params=("nu",))
CELLS = 16


class Shift(nn.Module):
    """The exact operator of data that move by one token a frame and shrink."""

    settings = SpectralFlux(width=4, num_blocks=1, modes=4)

    def forward(self, z, dt, params):
        return 0.9 * z.roll(1, dims=1)


def law():
    mode = torch.arange(CELLS // 2 + 1)[:, None]
    return ResidualSpectrum(0.5 * torch.exp(-mode * torch.tensor([0.3, 1.0])), line(CELLS))


def trajectories(num=32, frames=30):
    """u' = 0.9 shift(u) + a draw of the law: data whose residuals under the exact operator are known."""
    generator = stream(0, "data")
    frame, values = law().sample(num, generator), []
    for _ in range(frames):
        values.append(frame.mT)
        frame = 0.9 * frame.roll(1, dims=1) + law().sample(num, generator)
    return on_its_grid(torch.stack(values, 1), torch.rand(num, 1, generator=generator), FIELDS)


def emulator(data, codec=IdentityPatches()):  # noqa: B008
    codec = codec.build(data.fields, stream(0, "codec"))
    model = Emulator(fit_normalizer(data), codec, Shift(), data.fields)
    model.normalizer.mean.zero_()  # so that the exact operator is linear in tokens too
    return model


@pytest.mark.parametrize("num_rolled", [0, 2])
def test_the_spectrum_is_the_law_of_what_is_added_and_of_what_a_rollout_gathers(num_rolled):
    data = trajectories(64)
    scale = data.values.std((0, 1, 3), correction=0)
    found = residual_spectrum(emulator(data), data, num_rolled)
    counts = torch.tensor([29.0 - rolled for rolled in range(num_rolled + 1)])  # windows in a trajectory
    gathered = torch.tensor([
        sum(0.81**step for step in range(rolled + 1)) for rolled in range(num_rolled + 1)
    ])
    expected = (counts * gathered).sum() / counts.sum() * law().power / scale.square()
    assert found.grid.shape == (CELLS,)
    tolerance = 4.5 * math.sqrt(2 * (num_rolled + 1) / (64 * 29))
    assert (found.power / expected - 1).abs().max() < tolerance


@pytest.mark.parametrize("num_rolled", [0, 2])
def test_a_residual_is_the_truth_less_the_forecast_and_what_is_given_is_what_it_was_made_from(num_rolled):
    data = trajectories(3, frames=4)
    tokens = data.values.mT / data.values.std((0, 1, 3), correction=0)
    (seen, params), found = residuals(emulator(data), data, num_rolled)
    state = 0.9**num_rolled * tokens[:, 0].roll(num_rolled, dims=1)
    forecast = 0.9 * state.roll(1, dims=1)
    torch.testing.assert_close(seen, torch.cat([state, forecast], -1))
    torch.testing.assert_close(found, tokens[:, num_rolled + 1] - forecast)
    torch.testing.assert_close(params, emulator(data).normalizer.normalize_params(data.params))


def test_a_codec_that_spins_up_compares_states_that_both_did():
    fields = on_line(("u",), ("1",), 1.0, 0.1, params=("nu",))
    data = on_its_grid(trajectories(4, frames=6).values[:, :, :1], trajectories(4).params, fields)
    model, found = emulator(data, Refined(spin_up=3)), []
    for now in range(2, 5):
        forecast = model.advance(model.encode(data.values[:, now - 2 : now + 1], data.params))[0]
        found.append(model.encode(data.values[:, now - 1 : now + 2], data.params)[0] - forecast)
    spectrum = residual_spectrum(model, data, 0)
    torch.testing.assert_close(spectrum.std, torch.cat(found).square().mean((0, 1)).sqrt())


def test_trajectories_that_are_too_short_are_the_users_to_mend():
    data = trajectories(3, frames=4)
    residual_spectrum(emulator(data), data, 2)
    with pytest.raises(
        UserError, match=r"have 4 frames, but a residual after 3 steps needs 5; .*rolled_steps"
    ):
        residual_spectrum(emulator(data), data, 3)
