import pytest
import torch

import ups
from lines import on_line
from ups.checkpoint import load, save
from ups.models.autoencoder import IdentityPatches, Perceiver
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralFlux, UTransformer
from ups.streams import stream
from ups.types import Stepper, Trajectory, UserError

FIELDS = on_line(("u",), ("m/s",), 1.0, 0.05, params=("nu",), conserved=("u",), cells=32)
PERCEIVER = Perceiver(num_tokens=4, dim=5, hidden_dim=16, num_heads=2, depth=1)
STACKS = {
    "flux": (IdentityPatches(), SpectralFlux(width=8, num_blocks=2, modes=8)),
    "latent": (PERCEIVER, UTransformer(hidden_dim=16, num_heads=2, depths=(1, 1))),
}


def trajectory():
    values = 3 + 2 * torch.randn(4, 3, 1, 32, generator=stream(0, "values"))
    return Trajectory(values, torch.tensor([[0.001], [0.01], [0.1], [1.0]]), FIELDS)


def build(name, disturbed=True):
    codec_settings, operator_settings = STACKS[name]
    codec = codec_settings.build(FIELDS, stream(0, "codec"))
    operator = operator_settings.build(codec, FIELDS, stream(0, "operator"))
    if disturbed:
        generator = stream(0, "disturb")
        with torch.no_grad():
            for parameter in operator.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return Emulator(fit_normalizer(trajectory()), codec, operator, FIELDS)


def roll(emulator, num_steps=3):
    state = emulator.encode(trajectory().values, trajectory().params)
    for _ in range(num_steps):
        state = emulator.advance(state)
    return emulator.decode(state)


@pytest.mark.parametrize("name", STACKS)
def test_it_is_a_stepper(name):
    assert isinstance(build(name), Stepper)


def test_untrained_it_is_persistence():
    torch.testing.assert_close(roll(build("flux", disturbed=False)), trajectory().values[:, -1])


def test_the_integral_is_conserved_in_physical_units():
    out, start = roll(build("flux")), trajectory().values[:, -1]
    assert (out - start).abs().mean() > 0.1
    torch.testing.assert_close(out.mean(-1), start.mean(-1), rtol=1e-5, atol=0)


def test_parameters_reach_the_operator():
    emulator, train = build("flux"), trajectory()
    a, b = (
        emulator.advance(emulator.encode(train.values, params))[0]
        for params in (train.params, train.params.flip(0))
    )
    assert not torch.allclose(a, b)


def test_reconstruction_is_lossless_for_patches_and_frame_by_frame_for_others():
    values = trajectory().values
    torch.testing.assert_close(build("flux").reconstruct(values), values)
    latent = build("latent")
    whole = latent.reconstruct(values)
    torch.testing.assert_close(whole[:, 1:2], latent.reconstruct(values[:, 1:2]), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(whole, values)


@pytest.mark.parametrize("name", STACKS)
def test_decoding_at_the_centres_is_decoding_in_physical_units(name):
    emulator = build(name)
    state = emulator.encode(trajectory().values, trajectory().params)
    centres = ((torch.arange(32) + 0.5) / 32).expand(4, -1)
    torch.testing.assert_close(
        emulator.decode_at(state, centres), emulator.decode(state), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", STACKS)
def test_what_is_loaded_gives_the_same_bits(name, tmp_path):
    emulator = build(name)
    save(emulator, tmp_path)
    loaded = load(tmp_path)
    assert torch.equal(roll(loaded), roll(emulator))
    assert loaded.fields == FIELDS
    assert loaded.manifest() == emulator.manifest()
    low, high = loaded.manifest().param_ranges[0]
    assert (low, high) == (pytest.approx(0.001), 1.0)


def test_the_public_name_loads_an_emulator(tmp_path):
    save(build("flux"), tmp_path)
    assert isinstance(ups.load(tmp_path), Emulator)


def test_a_folder_without_a_model_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match=r"model\.json: cannot read the model"):
        load(tmp_path)


def test_gradients_flow_through_a_rollout():
    emulator = build("latent")
    roll(emulator).square().mean().backward()
    silent = [name for name, p in emulator.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
