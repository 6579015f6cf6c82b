"""A tiny world, from its data to its report; and that an answer to actions is measured by the solver."""

import pytest
import torch
from torch import nn

from tiny_recipe import world
from ups import record
from ups.data.splits import split
from ups.models.dynamics import DynamicsSettings
from ups.models.normalizer import fit_normalizer
from ups.runs.reevaluate import evaluate
from ups.runs.rungs import Below
from ups.runs.saved import load
from ups.runs.world_rungs import answer_correlation, world_specs
from ups.training.settings import Fit


def test_the_ladder_has_the_world_and_its_mean_and_says_how_they_answer(world_run):
    made = record.read_finished(world_run)
    names = {rung.folder: rung for rung in made.ladder}
    assert names["world"].name == "world, 4 calls"
    assert names["world"].num_members == 3
    assert names["world"].calls_per_frame == 5
    assert names["world_mean"].num_members == 1
    for name in ("world", "world_mean"):
        assert "as the solver does: correlation" in made.guards[name][0]
    assert made.data.fields.actions == ("actuator_0", "actuator_1")


@pytest.mark.usefixtures("without_report")
def test_calls_can_change_afterwards(world_run, tmp_path):
    evaluate(world_run, None, ["world.num_calls=[1,8]"], tmp_path / "again")
    made = record.read_finished(tmp_path / "again")
    calls = {rung.name: rung.calls_per_frame for rung in made.ladder if rung.folder == "world"}
    assert sorted(calls.values()) == [2, 9]
    assert load(world_run, "world", ["num_calls=2"]).settings.num_calls == 2


class Solver(nn.Module):
    """The solver as a stepper: its answers are perfect."""

    takes_actions, num_context, frames_read = True, 1, 1

    def __init__(self, source, blind=False):
        super().__init__()
        self.source, self.blind = source, blind

    def encode(self, context, params, actions):
        start = self.source.refined(context[:, -1])
        plan = actions[:, context.shape[1] - 1 :]
        return start[:, 0], torch.zeros_like(plan) if self.blind else plan

    def advance(self, state, generator=None):
        return self.source.solver()(state[0], state[1][:, 0]), state[1][:, 1:]

    def decode(self, state):
        return self.source.kept(state[0])[:, None].float()


def test_the_solver_answers_as_itself_and_who_does_not_listen_does_not(cache):
    source = world().data
    parts = split(source.load())
    below = Below(parts.train, parts.validation, fit_normalizer(parts.train), None, 0)
    data = parts.test
    assert answer_correlation(Solver(source), source, data, below).min() > 0.999
    assert answer_correlation(Solver(source, blind=True), source, data, below).abs().max() < 1e-6


def test_a_regression_is_one_rung():
    specs = world_specs(DynamicsSettings(method="regression"), Fit(updates=1), None, 4)
    assert [spec.name for spec in specs] == ["world_mean"]
    assert [spec.name for spec in world_specs(DynamicsSettings(), Fit(updates=1), None, 4)] == [
        "world_mean",
        "world",
    ]
