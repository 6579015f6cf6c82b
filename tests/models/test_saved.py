import pytest
import torch

from correctors import FIELDS, NUM_CELLS, corrected, trajectory
from ups.models.checkpoint import MANIFEST, save
from ups.models.normalizer import fit_normalizer
from ups.models.peers import UNet1d
from ups.models.saved import LOADERS, load_saved
from ups.models.stochastic import StochasticOperator
from ups.models.student import StudentSettings
from ups.streams import stream
from ups.types import UserError


def peer(settings):
    return settings.build(FIELDS, fit_normalizer(trajectory()), NUM_CELLS, stream(0, "peer"))


def every_kind():
    top = corrected()
    return {
        "emulator": top.emulator,
        "peer": peer(UNet1d(width=4, multipliers=(1, 2))),
        "stochastic": peer(StochasticOperator(width=4, num_blocks=1, modes=4)),
        "corrected": top,
        "student": StudentSettings().build(top),
    }


def test_every_stepper_comes_back_as_what_it_was(tmp_path):
    models = every_kind()
    assert set(models) == set(LOADERS)
    for kind, model in models.items():
        save(model, tmp_path / kind)
        again = load_saved(tmp_path / kind)
        assert type(again) is type(model)
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_an_unknown_kind_is_one_clear_line(tmp_path):
    save(corrected(), tmp_path)
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"corrected"', '"solver"'))
    with pytest.raises(UserError, match="'solver' is no stepper"):
        load_saved(tmp_path)
