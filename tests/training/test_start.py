import torch

from ups.data.simulated import Simulated
from ups.models.autoencoder import IdentityPatches
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralFlux, Transformer
from ups.streams import stream
from ups.training import start
from ups.training.start import look_at


def build(operator, train):
    codec = IdentityPatches().build(train.fields, stream(0, "codec"))
    built = operator.build(codec, train.fields, stream(0, "operator"))
    return Emulator(fit_normalizer(train), codec, built, train.fields)


def test_an_operator_sees_normalized_trajectories_spread_over_the_split(monkeypatch):
    train = Simulated(equation="advection", num_trajectories=20, num_cells=32, num_frames=5).load()
    emulator = build(SpectralFlux(width=4, num_blocks=1, modes=4), train)
    seen = []
    monkeypatch.setattr(emulator.operator, "start_from", lambda codec, given, *rest: seen.append(given))
    monkeypatch.setattr(start, "NUM_TRAJECTORIES", 3)
    assert look_at(emulator, train) > 0
    (given,) = seen
    chosen = train.select(torch.tensor([0, 10, 19]))
    restored = emulator.normalizer.denormalize(given.values.flatten(0, 1)).unflatten(0, (3, 5))
    torch.testing.assert_close(restored, chosen.values)
    torch.testing.assert_close(given.params, emulator.normalizer.normalize_params(chosen.params))


def test_an_operator_that_has_no_use_for_it_stays_as_it_is():
    train = Simulated(equation="advection", num_trajectories=20, num_cells=32, num_frames=5).load()
    emulator = build(Transformer(hidden_dim=16, num_heads=2, depth=1, group_size=32), train)
    before = {name: value.clone() for name, value in emulator.state_dict().items()}
    look_at(emulator, train)
    assert all(torch.equal(value, before[name]) for name, value in emulator.state_dict().items())
