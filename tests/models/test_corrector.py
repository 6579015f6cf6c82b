import pytest
import torch
from torch import nn

from correctors import NUM_CELLS, corrected, spectrum, trajectory
from ups import checkpoint
from ups.checkpoint import save
from ups.config import validate
from ups.evaluation.rollout import rollout
from ups.models.corrector import Corrected, CorrectorSettings, given_of
from ups.models.residual import Wiener
from ups.models.residual_nets import Attention, SpectralLocal, TokenMLP
from ups.models.token_waves import mode_powers
from ups.streams import stream
from ups.types import Stepper, UserError

NETWORKS = {
    "token_mlp": TokenMLP(hidden_dim=16, depth=2),
    "spectral_local": SpectralLocal(width=8, num_blocks=2, modes=8, kernel_size=3),
    "transformer": Attention(hidden_dim=16, num_heads=2, depth=2),
}


class Exact(nn.Module):
    """The exact denoiser of Gaussian residuals, where a corrector has its network."""

    def __init__(self, process, law):
        super().__init__()
        self.process, self.wiener = process, Wiener(law, process)

    def given(self, *condition):
        return self.wiener


def given(model, num=6):
    data = trajectory(num)
    state = model.encode(data.values[:, :1], data.params)
    return given_of(state, model.emulator.advance(state)[0])


@pytest.mark.parametrize("network", NETWORKS)
def test_its_members_differ_and_are_those_of_the_generator(network):
    model = corrected(network=NETWORKS[network])
    assert isinstance(model, Stepper)
    data = trajectory()
    one, same, other = (
        rollout(model, data.values[:, :1], data.params, 3, 4, stream(seed, "members")) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert (one - other).abs().mean() > 1e-3
    assert one.std(0).mean() > 1e-3


def test_without_a_generator_there_is_nothing_to_draw_from():
    model, data = corrected(), trajectory()
    with pytest.raises(ValueError, match="generator"):
        model.advance(model.encode(data.values[:, :1], data.params))


@pytest.mark.parametrize(
    ("sampler", "num_steps", "num_calls"),
    [("ddim", 1, 1), ("ddim", 5, 5), ("ancestral", 5, 5), ("dpmpp_2m", 5, 5), ("heun", 5, 9)],
)
def test_k_steps_cost_k_calls_of_the_network_and_no_hidden_ones(sampler, num_steps, num_calls):
    model = corrected(sampler=sampler, num_steps=num_steps)
    calls = []
    model.correction.denoiser.network.register_forward_hook(lambda *_: calls.append(1))
    data = trajectory()
    model.advance(model.encode(data.values[:, :1], data.params), stream(0, "draw"))
    assert len(calls) == num_calls == model.calls_per_frame


@pytest.mark.parametrize("process", [{"kind": "linear"}, {"kind": "cosine"}, {"kind": "ddpm"}])
def test_with_the_exact_denoiser_the_residuals_have_the_size_and_the_spectrum_they_should(process):
    model = corrected(process=process, num_steps=100, sampler="ddim", shift=1.0)
    law = spectrum(scale=0.5)
    model.correction.spectrum = law
    model.correction.denoiser = Exact(model.correction.denoiser.process, law)
    drawn = torch.cat([model.correction.draw(given(model, 200), stream(0, "draw", k)) for k in range(5)])
    torch.testing.assert_close(drawn.square().mean().sqrt(), law.std[0], rtol=0.06, atol=0)
    ratio = mode_powers(drawn, law.waves).mean(0)[:, 0] / law.power[:, 0]
    assert (ratio - 1).abs().max() < 0.25
    assert (ratio - 1).abs().mean() < 0.08


def test_a_forecast_is_the_operators_plus_the_residual():
    model, data = corrected(), trajectory()
    state = model.encode(data.values[:, :1], data.params)
    plain, _ = model.emulator.advance(state)
    drawn = model.correction.draw(given_of(state, plain), stream(0, "draw"))
    tokens, params = model.advance(state, stream(0, "draw"))
    torch.testing.assert_close(tokens, plain + drawn)
    assert torch.equal(params, state[1])


def test_it_comes_back_from_its_folder_whole(tmp_path):
    model, data = corrected(), trajectory()
    save(model, tmp_path)
    again = checkpoint.load(tmp_path)
    assert isinstance(again, Corrected)
    state = model.encode(data.values[:, :1], data.params)
    one, two = (each.advance(state, stream(0, "draw"))[0] for each in (model, again))
    assert torch.equal(one, two)
    assert torch.equal(again.correction.spectrum.power, model.correction.spectrum.power)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"num_steps": 0}, "greater than 0"),
        ({"sampler": "euler"}, "ddim"),
        ({"network": {"kind": "token_mpl"}}, "token_mlp"),
        ({"num_step": 4}, "num_steps"),
    ],
)
def test_bad_settings_are_one_clear_line(bad, words):
    with pytest.raises(UserError, match=words) as raised:
        validate(CorrectorSettings, bad)
    assert "\n" not in str(raised.value)


def test_a_network_that_does_not_fit_the_tokens_is_refused():
    with pytest.raises(UserError, match=f"there are {NUM_CELLS}; take fewer modes"):
        corrected(network=SpectralLocal(modes=20))
