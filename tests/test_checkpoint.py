import json
from typing import ClassVar, Literal

import pytest
import torch
from torch import nn

from ups.checkpoint import Manifest, load, restore, save
from ups.files import sealed
from ups.streams import stream
from ups.types import UserError


class Width(Manifest):
    kind: Literal["test_toy"] = "test_toy"
    width: int
    rate: float = 0.1
    free: ClassVar[tuple[str, ...]] = ("rate",)

    def build(self):
        return Toy(self.width, seed=9, rate=self.rate)


class Toy(nn.Linear):
    def __init__(self, width, seed=0, rate=0.1):
        super().__init__(width, width)
        self.rate = rate
        nn.init.normal_(self.weight, generator=stream(seed, "toy"))

    def manifest(self):
        return Width(width=self.in_features, rate=self.rate)


def weights(folder):
    return next(folder.glob("*.safetensors"))


def test_what_comes_back_is_what_went_in(tmp_path):
    save(Toy(3), tmp_path / "a" / "b")
    assert torch.equal(load(tmp_path / "a" / "b").weight, Toy(3).weight)


def test_saving_again_replaces_the_model_and_leaves_two_files(tmp_path):
    save(Toy(3), tmp_path)
    save(Toy(4, seed=1), tmp_path)
    assert torch.equal(load(tmp_path).weight, Toy(4, seed=1).weight)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_save_that_dies_before_the_manifest_leaves_the_old_model(tmp_path, monkeypatch):
    save(Toy(3), tmp_path)

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ups.checkpoint.sealed", die)
    with pytest.raises(KeyboardInterrupt):
        save(Toy(4), tmp_path)
    monkeypatch.undo()
    assert torch.equal(load(tmp_path).weight, Toy(3).weight)


def test_one_flipped_bit_is_noticed(tmp_path):
    save(Toy(3), tmp_path)
    content = bytearray(weights(tmp_path).read_bytes())
    content[-1] ^= 1
    weights(tmp_path).write_bytes(content)
    with pytest.raises(UserError, match="damaged, its sha256"):
        load(tmp_path)


def test_files_that_are_missing_cut_or_foreign_are_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="cannot read the model"):
        load(tmp_path)
    save(Toy(3), tmp_path)
    manifest = tmp_path / "model.json"
    text = manifest.read_text()
    for content, message in (
        (text[:20], "not valid JSON"),
        ("[1]", "a mapping is expected"),
        ('{"format": "other"}', "'format'"),
        ('{"format": "ups model 1"}', "'weights': Field required"),
        (text.replace('"width": 3', '"width": 4'), "damaged or changed"),
        (again(text, '"width"', '"widht"'), "did you mean 'width'"),
        (again(text, '"width": 3', '"width": 4'), "do not fit the settings"),
    ):
        manifest.write_text(content)
        with pytest.raises(UserError, match=message):
            load(tmp_path)
    manifest.write_text(text)
    weights(tmp_path).unlink()
    with pytest.raises(UserError, match="cannot read the weights"):
        load(tmp_path)


def again(text, old, new):
    """A manifest that says something else and was written like that."""
    content = json.loads(text)
    del content["seal"]
    return sealed(json.loads(json.dumps(content).replace(old, new)))


def test_weights_that_are_whole_but_not_safetensors_are_refused(tmp_path):
    import hashlib

    save(Toy(3), tmp_path)
    weights(tmp_path).write_bytes(b"garbage")
    record = json.loads((tmp_path / "model.json").read_text())
    record["sha256"] = hashlib.sha256(b"garbage").hexdigest()
    del record["seal"]
    (tmp_path / "model.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path)


@pytest.mark.parametrize("change", [{"weight": None}, {"other": torch.ones(2)}], ids=["one less", "one more"])
def test_a_model_takes_every_one_of_its_weights_and_no_other(tmp_path, change):
    model = Toy(3)
    tensors = {name: t for name, t in (model.state_dict() | change).items() if t is not None}
    with pytest.raises(UserError, match="the weights do not fit"):
        restore(Toy(3), tensors, tmp_path)
    assert torch.equal(restore(Toy(3, seed=1), model.state_dict(), tmp_path).weight, model.weight)


def test_the_weights_cannot_lie_outside_the_folder(tmp_path):
    save(Toy(3), tmp_path / "model")
    name = weights(tmp_path / "model").name
    manifest = tmp_path / "model" / "model.json"
    manifest.write_text(again(manifest.read_text(), name, f"/elsewhere/{name}"))
    assert torch.equal(load(tmp_path / "model").weight, Toy(3).weight)


def test_free_settings_change_and_no_others(tmp_path):
    save(Toy(3), tmp_path)
    assert load(tmp_path, ["rate=0.5"]).rate == 0.5
    with pytest.raises(UserError, match=r"'width' of a trained test_toy cannot change now \(valid: rate\)"):
        load(tmp_path, ["width=4"])


def test_a_kind_that_no_module_defines_is_named(tmp_path):
    save(Toy(3), tmp_path)
    path = tmp_path / "model.json"
    path.write_text(again(path.read_text(), "test_toy", "test_toj"))
    with pytest.raises(UserError, match=r"'test_toj' is not known .*did you mean 'test_toy'"):
        load(tmp_path)
