import math

import pytest
import torch

from ups.config import override
from ups.data.simulated import Simulated
from ups.data.splits import initial_hashes
from ups.solvers.equations import AllenCahn
from ups.solvers.solve import solve
from ups.types import UserError, line

GRID = line(32)
SMALL = {
    "equation": "allen_cahn",
    "offset": 0.5,
    "num_trajectories": 96,
    "num_cells": 32,
    "nu": (0.005, 0.01),
}


def small(rest=None, **changes):
    return Simulated(**{**SMALL, "rest": rest or {}, **changes})


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    return small().load(tmp_path_factory.mktemp("steady"))


def test_the_second_frame_is_where_the_first_one_goes(problems):
    few = problems.select(slice(0, 8))
    times = torch.tensor([0.0, few.fields.dt])
    again = solve(AllenCahn(few.params[:, 0]), few.values[:, 0].double(), times, 1.0)
    assert few.fields.dt == 100
    torch.testing.assert_close(again.float(), few.values, rtol=0, atol=2e-2)


def test_every_second_frame_is_at_rest_and_no_first_one(problems):
    equation = AllenCahn(problems.params[:, 0])
    start, rest = problems.values[:, :, 0].double().unbind(1)
    assert equation.rate(rest, GRID).abs().max() < 0.0101
    assert equation.rate(start, GRID).abs().amax(1).min() > 0.1


def test_rest_is_one_of_many_given_nu_and_fronts_are_rarer_the_wider_they_are(problems):
    rest, nu = problems.values[:, 1, 0], problems.params[:, 0]
    uniform = (rest.sign() == rest.sign()[:, :1]).all(1)
    torch.testing.assert_close(rest[uniform].abs(), torch.ones(int(uniform.sum()), 32), rtol=0, atol=0.02)
    positive = (rest[uniform, 0] > 0).double().mean()
    assert 0.3 < positive < 0.7
    narrow, wide = ((~uniform)[nu == value].double().mean() for value in nu.unique())
    assert narrow > wide + 0.05
    assert len(set(initial_hashes(problems.values))) == len(problems)


def test_what_has_not_come_to_rest_is_left_out_and_the_others_keep_their_order(problems, tmp_path):
    strict = small({"bound": 1e-4}).load(tmp_path)
    assert AllenCahn(strict.params[:, 0]).rate(strict.values[:, 1, 0].double(), GRID).abs().max() < 1.1e-4
    easy, hard = (initial_hashes(found.values) for found in (problems, strict))
    kept = [first for first in hard if first in easy]
    assert kept == [first for first in easy if first in kept]
    assert 0.8 * len(easy) < len(kept) < len(easy)


def test_problems_that_do_not_come_to_rest_in_time_are_the_users_to_know(tmp_path):
    with pytest.raises(UserError, match=r"raise data\.rest\.time") as error:
        small({"time": 1.0}).load(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.*"))


def test_fewer_problems_are_a_prefix_of_more_and_are_read_from_the_cache(problems, tmp_path, monkeypatch):
    fewer = small(num_trajectories=33).load(tmp_path)
    assert torch.equal(fewer.values, problems.values[:33])
    assert torch.equal(fewer.params, problems.params[:33])
    monkeypatch.setattr(Simulated, "_make", None)
    assert torch.equal(small(num_trajectories=33).load(tmp_path).values, fewer.values)
    with pytest.raises(TypeError):
        small(num_trajectories=33, seed=1).load(tmp_path)


def test_the_offset_bounds_the_mean_of_the_first_frame(problems, tmp_path):
    mean = problems.values[:, 0].mean((1, 2))
    assert mean.abs().max() < 0.5
    assert mean.std() == pytest.approx(0.5 / math.sqrt(3), rel=0.2)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("nu=-1", "nu must be finite and not negative"),
        ("rest.bound=0", "bound"),
        ("offset=-1", "offset"),
        ("num_frames=3", "rest has two frames"),
        ("dt=0.1", "rest has two frames"),
        ("shared_initial=true", "rest has two frames"),
        ("equation=heat", "heat has no steady states to find (valid: allen_cahn)"),
    ],
)
def test_impossible_settings_are_one_line(assignment, words):
    with pytest.raises(UserError) as error:
        override(small(), [assignment])
    assert words in str(error.value)
    assert "\n" not in str(error.value)
