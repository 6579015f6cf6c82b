from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_recipe import tiny
from ups import record
from ups.data.likeness import find_alike, long_waves
from ups.data.splits import initial_hashes
from ups.runs.pipeline import load
from ups.runs.seen import disguised, unseen
from ups.types import UserError


def test_training_frames_in_disguise_are_left_out_openly_said_and_all_others_are_scored(tiny_run):
    splits = load(tiny())
    seen, fresh = splits.train.values, splits.test
    planted = {
        "start like one of the training": seen[:2],
        "start with a frame of the training, moved, mirrored or disturbed": torch.cat([
            seen[2:3].roll(3, -1),
            seen[3:4] * (1 + 1e-6),
            torch.cat([seen[4:5, 5:], seen[4:5, :5]], 1),
        ]),
    }
    given = replace(
        fresh,
        values=torch.cat([*planted.values(), fresh.values]),
        params=torch.cat([splits.train.params[:5], fresh.params]),
    )
    left, notes = unseen(given, tiny_run, tiny_run)
    assert torch.equal(left.values, fresh.values)
    counts = (2, 3)
    for note, words, count in zip(notes, planted, counts, strict=True):
        assert note.startswith(f"{count} of {len(given)} trajectories {words}")
    with pytest.raises(UserError, match="every trajectory starts like one of the training"):
        unseen(splits.validation, tiny_run, tiny_run)


def test_a_factor_is_told_and_scored(tiny_run):
    splits = load(tiny())
    given = replace(splits.test, values=-3 * splits.train.values[: len(splits.test)])
    left, notes = unseen(given, tiny_run, tiny_run)
    assert len(left) == len(given)
    assert notes == [
        f"{len(given)} of {len(given)} test trajectories start with a frame of the training times a factor"
    ]


def test_every_frame_of_training_and_validation_is_kept_and_none_of_the_test(tiny_run):
    splits = load(tiny())
    known = load_file(tiny_run / record.SEEN)["waves"]
    assert len(known) == 14 * (len(splits.train) + len(splits.validation))
    for part in (splits.train, splits.validation):
        assert (find_alike(long_waves(part.values[:, 3]), known) >= 0).all()
    assert not disguised(splits.test, tiny_run)[0].any()
    hashes = {*initial_hashes(splits.train.values), *initial_hashes(splits.validation.values)}
    assert set(record.read_identities(tiny_run, record.KNOWN)) == hashes


def test_what_a_run_wrote_down_may_be_missing_and_not_damaged(tiny_run, tmp_path):
    given = load(tiny()).test
    assert not disguised(given, tmp_path)[0].any()
    save_file({"other": torch.ones(2)}, tmp_path / record.SEEN)
    with pytest.raises(UserError, match="damaged"):
        disguised(given, tmp_path)
    (tmp_path / record.SEEN).write_bytes(b"no")
    with pytest.raises(UserError, match="damaged"):
        disguised(given, tmp_path)
