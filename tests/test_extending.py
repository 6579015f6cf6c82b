"""What `docs/extending.md` says can be added, added from outside in a few lines."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from tiny_recipe import tiny
from ups.checkpoint import Manifest
from ups.config import Settings, override
from ups.data.simulated import Simulated
from ups.evaluation.ladder import Kind
from ups.evaluation.metrics import METRICS
from ups.evaluation.rows import trajectory_scores
from ups.models.emulator import EmulatorManifest
from ups.record import read
from ups.runs.pipeline import run
from ups.runs.reevaluate import evaluate
from ups.runs.rungs import BaselineSpec, RungSpec
from ups.runs.saved import load
from ups.runs.settings import Run
from ups.training.settings import Fit
from ups.training.stages import Forecast


class Damped(nn.Module):
    """The operator, and every frame nearer to its mean by a share that is trained."""

    def __init__(self, emulator):
        super().__init__()
        self.emulator, self.num_context = emulator, emulator.num_context
        self.share = nn.Parameter(torch.tensor(0.1))

    def encode(self, context, params):
        return self.emulator.encode(context, params)

    def advance(self, state, generator=None):
        return self.emulator.advance(state, generator)

    def decode(self, state):
        frame = self.emulator.decode(state)
        return torch.lerp(frame, frame.mean(-1, keepdim=True), self.share)

    def manifest(self):
        return DampedManifest(emulator=self.emulator.manifest())


class DampedManifest(Manifest):
    kind: Literal["test_damped"] = "test_damped"
    emulator: EmulatorManifest

    def build(self):
        return Damped(self.emulator.build())


@dataclass(frozen=True)
class DampedSpec(RungSpec):
    name: str = "damped"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("operator",)

    def build(self, below):
        return Damped(below.steppers["operator"])

    def stage(self, stepper, below):
        return Forecast(self.name, stepper)


class DampedRun(Run):
    @property
    def rungs(self):
        once = Fit(
            updates=20, batch_size=8, unroll=((0.0, 1),), num_validations=2, warmup=2, learning_rate=0.02
        )
        return (*super().rungs, DampedSpec(training=once))


@pytest.mark.usefixtures("without_report")
def test_a_trained_rung_is_one_spec(tmp_path):
    settings = DampedRun.model_validate(tiny().model_dump())
    run(settings, tmp_path / "run")
    record = read(tmp_path / "run")
    assert record.stages["damped"].updates == 20
    assert record.ladder[-2].name == "damped"
    damped = load(tmp_path / "run", "damped")
    assert abs(damped.share.item()) < 0.1  # a step of advection damps nothing
    scores = trajectory_scores(tmp_path / "run" / "rows.parquet", "pdebench", "nrmse")
    assert np.isfinite(scores["damped"]).all()
    evaluate(tmp_path / "run", None, [], tmp_path / "again")
    again = trajectory_scores(tmp_path / "again" / "rows.parquet", "pdebench", "nrmse")
    np.testing.assert_allclose(np.sort(again["damped"]), np.sort(scores["damped"]), rtol=1e-5)


class Local(nn.Module):
    """The next frame as a convolution of the last one."""

    num_context = 1

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")

    def encode(self, context, params):
        return context[:, -1]

    def advance(self, state, generator=None):
        return state + self.conv(state)

    def decode(self, state):
        return state

    def manifest(self):
        return LocalManifest()


class LocalManifest(Manifest):
    kind: Literal["test_local"] = "test_local"

    def build(self):
        return Local()


class LocalSettings(Settings):
    def build(self, *what):
        return Local()


class LocalRun(Run):
    @property
    def rungs(self):
        return (*super().rungs, BaselineSpec(name="local", settings=LocalSettings(), training=self.training))


@pytest.mark.usefixtures("without_report")
def test_a_baseline_is_its_settings_and_a_stepper(tmp_path):
    settings = LocalRun.model_validate(override(tiny(), ["training.updates=6"]).model_dump())
    run(settings, tmp_path / "run")
    assert {rung.name: rung.kind for rung in read(tmp_path / "run").ladder}["local"] == "baseline"
    assert isinstance(load(tmp_path / "run", "local"), Local)


def test_a_metric_is_one_function(tmp_path, monkeypatch):
    def largest_jump(prediction, truth, fields):
        jumps = (values.diff(dim=-1).abs().amax(-1).double() for values in (prediction.mean(0), truth))
        return (next(jumps) - next(jumps)).abs()

    monkeypatch.setitem(METRICS, "largest_jump", largest_jump)
    run(override(tiny(), ["training.updates=4", "baselines={}"]), tmp_path / "run")
    scores = trajectory_scores(tmp_path / "run" / "rows.parquet", "pdebench", "largest_jump")
    assert scores["codec ceiling"] == pytest.approx(np.zeros((1, 4)), abs=1e-6)
    assert scores["persistence"].max() > 0


class Shifted(Settings):
    """A source of data: a wave that moves by a cell a frame."""

    kind: Literal["test_shifted"] = "test_shifted"
    num_trajectories: int | None = 40
    equation: str = ""
    equation_class: None = None

    def load(self, progress=None):
        made = Simulated(equation="advection", num_trajectories=40, num_cells=32, num_frames=14).load()
        frames = [made.values[:, 0].roll(k, -1) for k in range(14)]
        return type(made)(torch.stack(frames, 1), made.params, made.fields)


class ShiftedRun(Run):
    data: Shifted


@pytest.mark.usefixtures("without_report")
def test_a_source_of_data_is_one_settings_class(tmp_path):
    plain = override(tiny(), ["training.updates=4", "baselines={}"]).model_dump(exclude={"data"})
    settings = ShiftedRun(data=Shifted(), **plain)
    run(settings, tmp_path / "run")
    found = read(tmp_path / "run")
    assert found.data.source == "test_shifted"
    assert not any(rung.kind == "solver" for rung in found.ladder)
