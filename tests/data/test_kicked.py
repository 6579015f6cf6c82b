import math
import re
from dataclasses import replace

import pytest
import torch
from scipy import stats

from ups.config import override
from ups.data.pdebench import PDEBench, write_pdebench
from ups.data.simulated import Simulated
from ups.data.splits import initial_hashes
from ups.evaluation.rollout import rollout
from ups.solvers import kicks
from ups.solvers.equations import Burgers
from ups.solvers.solve import solve
from ups.streams import stream
from ups.types import UserError, line

SMALL = {"nu": 0.01, "num_cells": 48, "num_frames": 5, "num_trajectories": 40}
NUM, MEMBERS = 640, 15


def small(forcing=None, **changes):
    return Simulated(**{**SMALL, "forcing": forcing or {}, **changes})


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    return small(num_trajectories=NUM).load(tmp_path_factory.mktemp("held_out"))


def ensemble(data, stepper=None):
    """Return members and truth, both frames 2 to 4, forecast from frame 1."""
    stepper = stepper or small().perfect()
    members = rollout(stepper, data.values[:, :2], data.params, 3, MEMBERS, stream(1, "members"))
    return members[..., 0, :], data.values[:, 2:, 0]


def numbers_of(frames):
    """Return single numbers of frames [..., cell] that a wrong law of kicks would move."""
    wave = (2 * math.pi * torch.arange(frames.shape[-1]) / frames.shape[-1]).cos()
    return {
        "mean": frames.mean(-1),
        "wave": frames @ wave,
        "energy": frames.square().mean(-1),
        "one cell": frames[..., 17],
        "variation": frames.diff(dim=-1).abs().sum(-1),
    }


def rank_p_values(members, truth):
    """Return p of the ranks' uniformity for each number and frame; ties are broken by a fair draw."""
    found = {}
    for (name, among), own in zip(numbers_of(members).items(), numbers_of(truth).values(), strict=True):
        ties = (among == own).sum(0)
        rank = (among < own).sum(0) + (torch.rand(own.shape, generator=stream(2, name)) * (ties + 1)).long()
        for frame in range(rank.shape[1]):
            counts = torch.bincount(rank[:, frame], minlength=MEMBERS + 1)
            found[name, frame] = stats.chisquare(counts.numpy()).pvalue
    return found


def test_the_truth_is_one_more_member_of_the_perfect_ensemble(held_out):
    members, truth = ensemble(held_out)
    p_values = rank_p_values(members, truth)
    assert min(p_values.values()) > 1e-3, p_values


@pytest.mark.parametrize(
    "wrong",
    [
        kicks.Kicks(size=(0.2, 0.5)),
        kicks.Kicks(size=(0.3, 1.2)),
        kicks.Kicks(width=(0.05, 0.12)),
        kicks.Kicks(size=(0.55, 0.55), width=(0.02, 0.02)),
    ],
)
def test_an_ensemble_of_another_law_is_caught(held_out, wrong):
    members, truth = ensemble(held_out, kicks.Kicked(small().perfect().solver, wrong))
    assert min(rank_p_values(members, truth).values()) < 1e-6


def test_the_mean_of_the_perfect_ensemble_errs_by_its_spread_with_the_factor_of_few_members(held_out):
    members, truth = ensemble(held_out)
    error = (members.mean(0) - truth).square().mean(-1)
    spread = (MEMBERS + 1) / MEMBERS * members.var(0).mean(-1)
    difference = error - spread
    z = difference.mean(0) / difference.std(0) * math.sqrt(NUM)
    assert z.abs().max() < 3.5
    assert (difference.std(0) / math.sqrt(NUM) / error.mean(0)).max() < 0.06  # so the line above can fail


def test_a_frame_is_the_whole_state(held_out):
    # the same kicks from a stored frame give the frames that follow, to float32
    stepper, generator = small().perfect(), stream(0, "kicks", 0)
    first = held_out.select(slice(0, 32))
    for _ in range(2):
        kicks.Kicks().kick(32, line(48), generator)
    frames = rollout(stepper, first.values[:, :3], first.params, 2, generator=generator)[0]
    torch.testing.assert_close(frames, first.values[:, 3:], rtol=0, atol=3e-6)


def test_fewer_trajectories_are_a_prefix_of_more_and_fewer_frames_of_longer_ones(tmp_path):
    more = small(num_trajectories=70, num_frames=4).load(tmp_path)
    assert torch.equal(small(num_trajectories=33, num_frames=4).load(tmp_path).values, more.values[:33])
    assert torch.equal(small(num_trajectories=70, num_frames=2).load(tmp_path).values, more.values[:, :2])


def test_two_seeds_differ_in_initial_conditions_and_kicks(tmp_path):
    first, second = (small(seed=seed).load(tmp_path).values for seed in (0, 1))
    assert not set(initial_hashes(first)) & set(initial_hashes(second))
    gained = [values.double().mean((2, 3)).diff(dim=1) for values in (first, second)]
    assert not torch.isclose(*gained, atol=1e-6).any()


def test_trajectories_differ_and_their_mean_moves(held_out):
    assert held_out.values.dtype == held_out.params.dtype == torch.float32
    assert held_out.values.shape == (NUM, 5, 1, 48)
    assert len(set(initial_hashes(held_out.values))) == NUM
    assert held_out.fields.conserved == ()
    gained = held_out.values.double().mean((2, 3)).diff(dim=1)
    area = math.sqrt(2 * math.pi)
    assert gained.abs().min() > 0.3 * 0.02 * area - 1e-6
    assert gained.abs().max() < 0.8 * 0.06 * area + 1e-6


def test_without_size_the_data_are_burgers_equation(tmp_path):
    data = small({"size": (0.0, 0.0)}, nu=0.05, initial="clean").load(tmp_path)
    truth = solve(Burgers(0.05), data.values[:, 0], 0.05 * torch.arange(5), 1.0)
    torch.testing.assert_close(data.values, truth.float(), rtol=0, atol=2e-6)
    assert data.params.unique().tolist() == pytest.approx([0.05])


def test_what_is_made_once_is_read_from_then_on(tmp_path, monkeypatch):
    made = small().load(tmp_path)
    monkeypatch.setattr(Simulated, "_make", None)
    again = small().load(tmp_path)
    assert torch.equal(made.values, again.values)
    assert made.fields == again.fields
    with pytest.raises(TypeError):
        small({"width": (0.02, 0.05)}).load(tmp_path)


def test_progress_rises_to_one(tmp_path):
    seen = []
    small().load(tmp_path, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_the_settings_reach_the_perfect_ensemble():
    law = kicks.Kicks(size=(0.1, 0.2), width=(0.03, 0.04))
    stepper = small(law, dt=0.1, num_cells=64).perfect()
    assert stepper.kicks == law
    assert stepper.solver.grid.shape == stepper.solver.fields.grid.shape == (64,)
    assert stepper.solver.fields.dt == 0.1


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("forcing.size=[0.8, 0.3]", "size=[0.8, 0.3]: give the lower bound first"),
        ("forcing.width=[0.02, 0.2]", "forcing: width=[0.02, 0.2] is more than an eighth of the line"),
        ("forcing.width=[0, 0.1]", "width"),
        ("forcing.size=[-1, 1]", "size"),
        ("nu=.inf", "nu"),
        ("solver_cells=96", "a frame is the whole state: leave solver_cells out"),
        ("rest={}", "what is kicked does not come to rest"),
    ],
)
def test_impossible_settings_are_one_line(assignment, words):
    with pytest.raises(UserError) as error:
        override(small(), [assignment])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


FLOW = {"equation": "vorticity", "num_cells": [16, 16], "num_frames": 3, "dt": 0.1, "num_trajectories": 1}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (FLOW | {"forcing": {}}, "forcing: would move the mean of a vorticity, which is zero"),
        (
            FLOW | {"forcing": {"width": [0.1, 0.2]}},
            "forcing: width=[0.1, 0.2] is more than an eighth of the shortest axis",
        ),
        (
            FLOW | {"equation": "gray_scott", "forcing": {}},
            "forcing: kicks one field, GrayScott moves several",
        ),
    ],
)
def test_what_cannot_be_kicked_in_a_plane_says_why(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Simulated.model_validate(settings)


def test_a_kicked_flow_keeps_its_mean_and_says_so_and_no_two_flows_are_kicked_alike(tmp_path):
    forcing = {"width": [0.1, 0.12], "size": [2, 3], "balanced": True}
    source = Simulated.model_validate(FLOW | {"forcing": forcing, "num_trajectories": 3})
    data = source.load(tmp_path)
    assert data.fields.conserved == ("vorticity",)
    assert data.values.mean((3, 4)).abs().max() < 1e-6
    assert (data.values[:, 1] - data.values[:, 0]).flatten(1).abs().amax(1).min() > 1  # a kick stands out
    still = source.model_copy(update={"forcing": None}).load(tmp_path)
    assert torch.equal(still.values[:, 0], data.values[:, 0])
    assert (data.values - still.values)[:, 1].flatten(1).corrcoef().triu(1).abs().max() < 0.9


def test_a_file_of_them_does_not_claim_that_the_mean_is_kept(tmp_path):
    data = small().load(tmp_path)
    write_pdebench(tmp_path / "a.h5", data.values, data.fields, data.params, equation=small().equation)
    source = PDEBench(file=tmp_path / "a.h5")
    each = tuple(replace(field, conserved=False) for field in data.fields.each)
    assert source.load().fields == replace(data.fields, each=each)
    assert source.equation_class is small().equation_class
