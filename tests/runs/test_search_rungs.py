"""Search as rungs: where a reward knows the error it pays, where none does it is refused, with the reason."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tiny_recipe import kicked
from ups import record
from ups.config import merge
from ups.data.simulated import Simulated
from ups.data.splits import split
from ups.evaluation.rollout import rollout
from ups.evaluation.rows import trajectory_scores
from ups.models.normalizer import fit_normalizer
from ups.runs.pipeline import run
from ups.runs.rungs import Below
from ups.runs.saved import load
from ups.runs.search_rungs import LowerResidualSpec, MeanSpec, SearchSpec, Source, enough, search_specs
from ups.runs.settings import Run
from ups.search.settings import SearchSettings
from ups.solvers.equations import EQUATIONS
from ups.streams import stream
from ups.types import UserError


class Disturbed(nn.Module):
    """The solver, off by a smooth error: always the same one, or one that is drawn."""

    num_context = 1

    def __init__(self, solver, fields, size, drawn):
        super().__init__()
        self.solver, self.fields, self.size, self.drawn = solver, fields, size, drawn

    def encode(self, context, params):
        return context[:, -1], params

    def advance(self, state, generator=None):
        frame, params = state
        exact = self.solver(frame[:, 0].double())[:, None].float()
        x = torch.arange(frame.shape[-1]) / frame.shape[-1]
        waves = torch.stack([torch.sin(2 * torch.pi * (k * x + 0.1 * k)) for k in range(1, 9)])
        weights = torch.ones(len(frame), 8)
        if self.drawn:
            weights = weights + torch.randn(len(frame), 8, generator=generator)
        return exact + self.size * (weights @ waves)[:, None], params

    def decode(self, state):
        return state[0]


@pytest.fixture(scope="module")
def chaos(cache):
    """Kuramoto and Sivashinsky at a small time step, an operator that errs, and draws about its forecast."""
    made = Simulated(
        equation="kuramoto_sivashinsky",
        num_trajectories=80,
        num_frames=12,
        num_cells=64,
        solver_cells=64,
        dt=0.25,
        warmup=50.0,
    )
    splits = split(made.load())
    fields = splits.train.fields
    solver = EQUATIONS["kuramoto_sivashinsky"]().propagator(fields.dt, fields.grid)
    steppers = {
        "operator": Disturbed(solver, fields, 1e-3, drawn=False),
        "corrector": Disturbed(solver, fields, 1e-3, drawn=True),
    }
    below = Below(splits.train, splits.validation, fit_normalizer(splits.train), None, 0, steppers)
    return below, Source(made.equation_class, made.solver_cells), splits.test


def calibrated(chaos, **settings):
    below, source, _ = chaos
    spec = SearchSpec(on=("corrector",), settings=SearchSettings(**settings), source=source)
    return spec, spec.calibrate(spec.build(below), None, below)


def test_where_the_residual_knows_the_error_search_beats_one_candidate_and_is_not_refused(chaos):
    spec, ready = calibrated(chaos, rewards={"residual": 1.0})
    assert ready.refused == ""
    assert ready.judged["rank_correlation_low"] > 0.9
    assert ready.judged["beyond_mean_low"] > 0.6
    assert ready.judged["gain_low"] > 0.1
    assert ready.judged["gain"] == pytest.approx(ready.judged["ceiling"], rel=0.1)
    assert spec.label(ready.stepper) == "search, 8 by residual"
    assert ready.evidence["trace/chosen"].shape == ready.evidence["trace/calls"].shape
    assert (ready.evidence["trace/calls"] == 8).all()
    below, _, test = chaos
    single, best = (
        rollout(stepper, test.values[:, :1], test.params, 4, generator=stream(0, "search"))[0]
        for stepper in (below.steppers["corrector"], ready.stepper)
    )
    errors = [(made - test.values[:, 1:5]).square().mean().sqrt().item() for made in (single, best)]
    assert errors[1] < 0.9 * errors[0]


def test_the_reward_is_found_without_being_told(chaos):
    _, ready = calibrated(chaos)
    assert ready.stepper.judge.factors.keys() <= {"residual", "critic"}
    assert ready.refused == ""


def test_what_knows_nothing_is_refused_and_force_searches_all_the_same(chaos):
    _, ready = calibrated(chaos, rewards={"maximum_principle": 1.0})
    assert "search.force=true" in ready.refused
    assert any(line.startswith("refused: ") for line in ready.guards)
    assert "trace/chosen" not in ready.evidence
    _, forced = calibrated(chaos, rewards={"maximum_principle": 1.0}, force=True)
    assert forced.refused == ""
    assert forced.judged == ready.judged


def test_lowering_the_residual_pays_at_once(chaos):
    below, source, _ = chaos
    spec = LowerResidualSpec(settings=SearchSettings(), source=source)
    ready = spec.calibrate(spec.build(below), None, below)
    assert ready.refused == ""
    assert ready.judged["gain"] > 0.9
    unknown = LowerResidualSpec(settings=SearchSettings())
    assert "neither stated nor read" in unknown.calibrate(unknown.build(below), None, below).refused


def test_few_candidates_are_judged_among_eight():
    assert enough((2,)) == (8,)
    assert enough((3, 1)) == (7, 1)
    assert enough((16,)) == (16,)


def test_bad_settings_are_one_line(chaos):
    below, source, _ = chaos

    def build(on=("corrector",), deterministic=(), **settings):
        spec = SearchSpec(
            on=on, settings=SearchSettings(**settings), source=source, deterministic=deterministic
        )
        return spec.build(below)

    for said, asked in (
        ("budget of 1 calls|does not pay", {"max_calls": 1, "rewards": {"critic": 1.0}}),
        ("no reward 'positivity' here", {"rewards": {"positivity": 1.0}}),
        ("horizon=12 is past the end", {"horizon": 12, "beam": 2}),
    ):
        with pytest.raises(UserError, match=said) as found:
            build(**asked)
        assert "\n" not in str(found.value)
    with pytest.raises(UserError, match="draws nothing, its candidates would be equal"):
        build(on=("operator",), deterministic=("operator",))
    specs = kicked().rungs
    with pytest.raises(UserError, match=r"'corector' draws no candidates .did you mean 'corrector'"):
        search_specs(SearchSettings(candidates_from=("corector",)), source, specs)
    mean = MeanSpec(on=("corrector",), settings=SearchSettings(num_candidates=4))
    assert mean.label(mean.build(below)) == "mean of 4 of corrector"


def test_a_run_searches_saves_and_scores_what_was_not_refused(cache, tmp_path, without_report):
    settings = merge(
        kicked(),
        {
            "baselines": {},
            "search": {"num_candidates": 3, "force": True, "candidates_from": ["corrector", "operator"]},
        },
    )
    assert isinstance(settings, Run)
    run(settings, tmp_path / "run")
    made = record.read_finished(tmp_path / "run")
    folders = [rung.folder for rung in made.ladder]
    assert {"mean_of_candidates", "search", "lower_residual", "projected"} <= set(folders)
    assert made.guards["search"][-1].startswith("7 calls of networks a frame")
    search = load(tmp_path / "run", "search")
    assert (search.counts, search.costs) == ((2, 1), (3, 1))
    assert next(rung for rung in made.ladder if rung.folder == "search").calls_per_frame == 7
    values, params = torch.randn(2, 1, 1, 32), torch.full((2, 1), 0.01)
    again = load(tmp_path / "run", "search")
    frames = [rollout(stepper, values, params, 2, generator=stream(0, "x")) for stepper in (search, again)]
    assert torch.equal(*frames)
    evidence = np.load(tmp_path / "run" / "stages" / "search" / "evidence.npz")
    assert evidence["trace/rewards"].shape[1] == 3
    scores = trajectory_scores(tmp_path / "run" / "rows.parquet", "pdebench", "fair_crps")
    assert any(name.startswith("search, 3 by") for name in scores)


def test_what_is_refused_is_neither_saved_nor_scored_and_the_notes_say_why(cache, tmp_path, without_report):
    settings = merge(
        kicked(), {"baselines": {}, "student": None, "search": {"rewards": {"energy_decay": 1.0}}}
    )
    run(settings, tmp_path / "run")
    made = record.read_finished(tmp_path / "run")
    refused = {note.split(" refused: ")[0] for note in made.notes if " refused: " in note}
    for name in ("search", "lower_residual", "projected"):
        scored = name in {rung.folder for rung in made.ladder}
        assert scored == (tmp_path / "run" / "stages" / name / "stepper").exists()
        assert scored != (name.replace("_", " ") in refused)
    assert json.loads((tmp_path / "run" / "run.json").read_text())
