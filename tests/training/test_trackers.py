import logging
import sys
from types import SimpleNamespace

import pytest

from ups.training.trackers import Guarded, Tracker, open_tracker
from ups.types import UserError


class Recorder:
    """Stands for trackio and wandb, and for torch.utils.tensorboard."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def test_none_is_no_tracker(tmp_path):
    assert open_tracker("none", "ups", tmp_path) is None


@pytest.mark.parametrize("kind", ["trackio", "wandb", "tensorboard"])
def test_a_missing_package_is_named_with_what_to_install(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if kind == "tensorboard" else kind, None)
    with pytest.raises(UserError, match=rf"pip install 'universal-physics-stack\[{kind}\]'"):
        open_tracker(kind, "ups", tmp_path)


@pytest.mark.parametrize("kind", ["trackio", "wandb"])
def test_runs_are_started_logged_and_finished_in_their_package(kind, tmp_path, monkeypatch):
    package = Recorder()
    monkeypatch.setitem(sys.modules, kind, package)
    tracker = open_tracker(kind, "ups", tmp_path / "burgers")
    assert isinstance(tracker, Tracker)
    tracker.start("operator", {"updates": 5})
    tracker.log({"loss": 0.5}, 3)
    tracker.end()
    start = {"project": "ups", "name": "burgers-operator", "group": "burgers", "config": {"updates": 5}}
    assert package.calls == [("init", (), start), ("log", ({"loss": 0.5},), {"step": 3}), ("finish", (), {})]


def test_tensorboard_gets_every_number_as_a_scalar(tmp_path, monkeypatch):
    writer = Recorder()
    package = SimpleNamespace(SummaryWriter=lambda folder: writer.calls.append(folder) or writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", package)
    tracker = open_tracker("tensorboard", "ups", tmp_path)
    assert isinstance(tracker, Tracker)
    tracker.start("operator", {"updates": 5})
    tracker.log({"loss": 0.5, "gradient": 2.0}, 3)
    tracker.end()
    assert writer.calls[0] == str(tmp_path / "tensorboard" / "operator")
    scalars = [args for name, args, _ in writer.calls[1:] if name == "add_scalar"]
    assert scalars == [("loss", 0.5, 3), ("gradient", 2.0, 3)]
    assert writer.calls[-1][0] == "close"


def test_a_tracker_that_fails_warns_once_and_is_left_alone(caplog):
    class Broken:
        attempts = 0

        def start(self, name, settings):
            pass

        def log(self, row, update):
            self.attempts += 1
            raise ConnectionError("no network")

        def end(self):
            raise ConnectionError("no network")

    broken = Broken()
    guarded = Guarded(broken)
    with caplog.at_level(logging.WARNING):
        guarded.start("operator", {})
        guarded.log({"loss": 1.0}, 1)
        guarded.log({"loss": 1.0}, 2)
        guarded.end()
    assert broken.attempts == 1
    assert [record.message for record in caplog.records] == [
        "the tracker failed and is off for the rest of this stage: no network"
    ]


def test_numbers_that_are_not_finite_are_not_sent():
    package = Recorder()
    package.start = package.end = lambda *_: None
    Guarded(package).log({"loss": float("nan"), "gradient": 1.0}, 1)
    assert package.calls == [("log", ({"gradient": 1.0}, 1), {})]
