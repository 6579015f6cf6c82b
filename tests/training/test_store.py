import errno
import json
import multiprocessing
import os
import resource
import signal

import pytest
import torch
from safetensors.torch import load_file

from ups.training.store import Store
from ups.types import UserError

SMALL = {"model/weight": torch.arange(6.0).reshape(2, 3), "optimizer.0/step": torch.tensor(3.0)}
LARGE = {"model/weight": torch.ones(200_000)}


@pytest.fixture
def shelf(tmp_path):
    with Store(tmp_path / "run") as store:
        shelf = store.stage("operator", "abc")
        shelf.write_plan({"starts": [0.0]})
        yield shelf


def files(shelf):
    return sorted(path.name for path in shelf.folder.iterdir())


def test_a_checkpoint_comes_back_as_it_was(shelf):
    assert shelf.checkpoint() is None
    numbers = {"update": 3, "best_score": float("inf"), "seconds": 0.1}
    shelf.write_checkpoint(SMALL, numbers)
    tensors, read = shelf.checkpoint()
    assert read == numbers
    assert tensors.keys() == SMALL.keys()
    assert all(torch.equal(tensors[name], SMALL[name]) for name in SMALL)
    assert files(shelf) == ["checkpoint.safetensors", "plan.json"]


def test_a_finished_stage_has_weights_and_record_and_no_checkpoint(shelf):
    shelf.write_checkpoint(SMALL, {"update": 3})
    assert shelf.finished() is None
    shelf.finish({"weight": SMALL["model/weight"]}, {"fitted": {"updates": 3}})
    tensors, record = shelf.finished()
    assert record["fitted"] == {"updates": 3}
    assert torch.equal(tensors["weight"], SMALL["model/weight"])
    assert files(shelf) == ["finished.json", "model.safetensors", "plan.json"]
    assert torch.equal(load_file(shelf.folder / "model.safetensors")["weight"], SMALL["model/weight"])


@pytest.mark.parametrize(
    "name", ["checkpoint.safetensors", "model.safetensors", "plan.json", "finished.json"]
)
def test_a_flipped_bit_is_found_wherever_it_is(shelf, name):
    shelf.finish(SMALL, {"fitted": {"updates": 3}})
    shelf.write_checkpoint(SMALL, {"update": 3})
    whole = (shelf.folder / name).read_bytes()
    ask = {"check": shelf.checkpoint, "plan.": shelf.plan}.get(name[:5], shelf.finished)
    assert ask() is not None
    for place in range(8, len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        (shelf.folder / name).write_bytes(changed)
        try:
            found = ask()
        except UserError as error:
            assert "damaged" in str(error)  # noqa: PT017
        else:
            assert str(found) == str(ask_of(shelf, name, whole, ask)), f"bit {place % 8} of byte {place}"


def ask_of(shelf, name, whole, ask):
    """What the undamaged file says."""
    (shelf.folder / name).write_bytes(whole)
    return ask()


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with Store(tmp_path), pytest.raises(UserError, match="another run is at work"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_stage_with_other_settings_is_refused(tmp_path):
    with Store(tmp_path) as store:
        store.stage("operator", "abc").write_plan({})
        store.stage("operator", "abc")
        with pytest.raises(UserError, match="stages/operator: holds a run with other settings"):
            store.stage("operator", "abd")
        store.stage("autoencoder", "abd")


def test_a_folder_that_cannot_be_made_is_the_users_fault(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another --out"):
        Store(tmp_path / "file" / "run")


def test_rows_after_the_checkpoint_and_a_torn_last_line_are_dropped(shelf):
    for update in (5, 10, 15, 20):
        shelf.append({"update": update, "loss": 1 / update})
    with open(shelf.folder / "log.jsonl", "a") as file:
        file.write('{"update": 25, "lo')
    shelf.rewind(12)
    shelf.append({"update": 15, "loss": float("nan")})
    lines = (shelf.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [5, 10, 15]
    assert lines[-1] == '{"update": 15, "loss": null}'


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_the_last_checkpoint_and_no_rubbish(shelf, monkeypatch, call):
    shelf.write_checkpoint(SMALL, {"update": 3})

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if call == "open":
            patch.setattr("builtins.open", full)
        else:
            patch.setattr(os, call, full)
        with pytest.raises(UserError, match="No space left on device") as error:
            shelf.write_checkpoint(LARGE, {"update": 4})
    assert "\n" not in str(error.value)
    assert str(shelf.folder) in str(error.value)
    assert shelf.checkpoint()[1] == {"update": 3}
    assert files(shelf) == ["checkpoint.safetensors", "plan.json"]


def _write_past_a_limit(folder, results):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with Store(folder) as store:
        try:
            store.stage("operator", "abc").write_checkpoint(LARGE, {"update": 4})
        except UserError as error:
            results.put(str(error))


def test_a_real_write_that_fails_half_way_leaves_the_last_checkpoint(tmp_path):
    with Store(tmp_path) as store:
        store.stage("operator", "abc").write_checkpoint(SMALL, {"update": 3})
    context = multiprocessing.get_context("fork")  # a file size limit cannot be taken back
    results = context.Queue()
    child = context.Process(target=_write_past_a_limit, args=(tmp_path, results))
    child.start()
    assert "File too large" in results.get(timeout=30)
    child.join()
    with Store(tmp_path) as store:
        shelf = store.stage("operator", "abc")
        assert shelf.checkpoint()[1] == {"update": 3}
        assert files(shelf) == ["checkpoint.safetensors"]


def test_a_damaged_checkpoint_is_named(shelf):
    shelf.write_checkpoint(SMALL, {"update": 3})
    path = shelf.folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors: is damaged"):
        shelf.checkpoint()


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    shelf = Store(tmp_path / "run").stage("operator", "abc")
    shelf.write_plan({})
    shelf.write_checkpoint(SMALL, {})
    shelf.append({"update": 1})
    shelf.rewind(0)
    shelf.finish(SMALL, {})
    assert not (tmp_path / "run").exists()
