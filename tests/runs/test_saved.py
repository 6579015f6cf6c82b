import pytest
import torch

import ups
from ups import checkpoint
from ups.files import sealed, unsealed
from ups.models.corrector import Corrected
from ups.runs.saved import load, names, open_run
from ups.types import UserError


def test_every_rung_of_a_run_is_there_by_its_name(kicked_run):
    found = names(kicked_run)
    assert {"operator", "corrector", "student", "crps_operator", "colored_noise", "persistence"} <= set(found)
    for name in found:
        assert load(kicked_run, name).num_context >= 1
    assert open_run(kicked_run).ladder


def test_the_public_name_loads_any_rung(kicked_run):
    assert isinstance(ups.load(kicked_run, "corrector"), Corrected)
    assert (
        ups.load(kicked_run).manifest() == ups.load(kicked_run / "stages" / "operator" / "stepper").manifest()
    )


def test_a_corrector_samples_in_another_way_and_is_otherwise_the_same(kicked_run):
    saved, other = (
        load(kicked_run, "corrector"),
        load(kicked_run, "corrector", ["num_steps=5", "sampler=ddim"]),
    )
    assert (other.correction.settings.num_steps, other.correction.settings.sampler) == (5, "ddim")
    assert all(
        torch.equal(a, b)
        for a, b in zip(saved.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_what_was_trained_cannot_change(kicked_run):
    with pytest.raises(UserError, match="'predicts' of a trained corrected cannot change"):
        load(kicked_run, "corrector", ["predicts=eps"])
    with pytest.raises(UserError, match="cannot change"):
        load(kicked_run, "operator", ["width=4"])


def test_a_name_that_is_not_there_is_one_line(kicked_run, tmp_path):
    with pytest.raises(UserError, match="did you mean 'operator'"):
        load(kicked_run, "oprator")
    with pytest.raises(UserError, match="is it a run folder"):
        load(tmp_path)


def test_a_run_of_another_bench_has_no_ladder(tiny_image_run):
    with pytest.raises(UserError, match="images bench"):
        open_run(tiny_image_run)


def test_an_unknown_kind_of_model_is_one_line(tiny_run, tmp_path):
    checkpoint.save(load(tiny_run), tmp_path)
    path = tmp_path / checkpoint.MANIFEST
    content = unsealed(path.read_text(), path)
    path.write_text(sealed(content | {"model": content["model"] | {"kind": "oracle"}}))
    with pytest.raises(UserError, match="kind 'oracle' is not known"):
        load(tmp_path)
