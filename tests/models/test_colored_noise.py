import pytest
import torch
from torch import nn

from lines import on_line
from ups.models.autoencoder import IdentityPatches
from ups.models.colored_noise import ColoredNoise
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralFlux
from ups.models.residual import ResidualSpectrum
from ups.streams import stream
from ups.types import Stepper, Trajectory, line

FIELDS = on_line(("u", "v"), ("1", "1"), 1.0, 0.1, params=("nu",), cells=16)
CELLS = 16
SCALE = torch.tensor([2.0, 5.0])


class Shift(nn.Module):
    """Moves by one token a frame and shrinks."""

    settings = SpectralFlux(width=4, num_blocks=1, modes=4)

    def forward(self, z, dt, params):
        return 0.9 * z.roll(1, dims=1)


def law():
    mode = torch.arange(CELLS // 2 + 1)[:, None]
    return ResidualSpectrum(0.5 * torch.exp(-mode * torch.tensor([0.3, 1.0])), line(CELLS))


def trajectories():
    """Values of mean 0 and deviations 2 and 5: the normalizer only scales."""
    values = torch.randn(3, 4, 2, CELLS, generator=stream(0, "data"))
    values = values - values.mean((0, 1, 3), keepdim=True)
    values = values / values.std((0, 1, 3), keepdim=True, correction=0) * SCALE[:, None]
    return Trajectory(values, torch.rand(3, 1, generator=stream(0, "params")), FIELDS)


def emulator(normalized_on):
    codec = IdentityPatches().build(FIELDS, stream(0, "codec"))
    return Emulator(fit_normalizer(normalized_on), codec, Shift(), FIELDS)


def test_the_ensemble_has_the_spread_that_its_steps_add_up_to():
    data = trajectories()
    noisy = ColoredNoise(emulator(data), ResidualSpectrum(law().power / SCALE.square(), line(CELLS)))
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
    data = trajectories()
    model = emulator(data)
    noisy = ColoredNoise(model, ResidualSpectrum(torch.zeros(CELLS // 2 + 1, 2), line(CELLS)))
    context = data.values[:, :2]
    calm = model.decode(model.advance(model.encode(context, data.params)))
    assert torch.equal(noisy.decode(noisy.advance(noisy.encode(context, data.params), stream(0, "x"))), calm)
    torch.testing.assert_close(noisy.decode(noisy.encode(context, data.params)), data.values[:, 1])


def test_equal_generators_give_equal_members_and_every_step_draws_anew():
    data = trajectories()
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
