import errno
import json
import multiprocessing
import os
import resource
import signal
import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from ups.training.store import Store, read_log
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


def trained(folder, beside=None, value=1.0):
    """Train the stage "operator" of digest "abc", if nobody did; return its weight."""
    with Store(folder, beside) as store:
        shelf = store.stage("operator", "abc")
        if (found := shelf.finished()) is None:
            shelf.write_plan({"phase_updates": [1]})
            shelf.append({"update": 1, "loss": value})
            shelf.finish({"weight": torch.tensor([value])}, {"fitted": {}})
            found = shelf.finished()
        return found[0]["weight"].item()


def test_what_a_run_beside_has_finished_is_taken_over_with_its_log(tmp_path):
    trained(tmp_path / "first", tmp_path, value=3.0)
    assert trained(tmp_path / "second", tmp_path, value=4.0) == 3.0
    assert read_log(tmp_path / "second" / "stages" / "operator" / "log.jsonl") == [{"update": 1, "loss": 3.0}]
    assert trained(tmp_path / "alone", None, value=5.0) == 5.0


def test_another_stage_or_a_damaged_one_is_not_taken_over(tmp_path):
    with Store(tmp_path / "other") as store:
        store.stage("operator", "another digest").finish({"weight": torch.ones(1)}, {"fitted": {}})
    trained(tmp_path / "damaged")
    path = tmp_path / "damaged" / "stages" / "operator" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with Store(tmp_path / "half") as store:
        store.stage("operator", "abc").write_plan({"phase_updates": [1]})
    assert trained(tmp_path / "new", tmp_path, value=4.0) == 4.0


def test_an_unfinished_stage_of_ones_own_gives_way_to_a_finished_one_beside(tmp_path):
    with Store(tmp_path / "mine", tmp_path) as store:
        shelf = store.stage("operator", "abc")
        shelf.write_plan({"phase_updates": [9]})
        shelf.write_checkpoint({"weight": torch.zeros(1)}, {"update": 1})
    trained(tmp_path / "other", tmp_path, value=7.0)
    assert trained(tmp_path / "mine", tmp_path, value=8.0) == 7.0
    with Store(tmp_path / "mine", tmp_path) as store:
        shelf = store.stage("operator", "abc")
        assert shelf.plan()["phase_updates"] == [1]
        assert shelf.checkpoint() is None


def test_of_two_runs_that_want_one_stage_one_trains_and_the_other_waits(tmp_path):
    waits = threading.Event()

    def second():
        waits.set()
        found.append(trained(tmp_path / "second", tmp_path, value=4.0))

    found: list[float] = []
    with Store(tmp_path / "first", tmp_path) as store:
        shelf = store.stage("operator", "abc")
        thread = threading.Thread(target=second)
        thread.start()
        waits.wait()
        time.sleep(0.2)
        assert not found
        shelf.finish({"weight": torch.tensor([3.0])}, {"fitted": {}})
        shelf.write_plan({"phase_updates": [1]})
        shelf.append({"update": 1})
        store.end_turn()
        thread.join(20)
    assert found == [3.0]


def test_a_run_that_fails_lets_the_next_one_train(tmp_path):
    with Store(tmp_path / "first", tmp_path) as store:
        store.stage("operator", "abc")
    assert trained(tmp_path / "second", tmp_path, value=4.0) == 4.0
