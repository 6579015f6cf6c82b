import math

import numpy as np
import pytest
import torch
from known_steppers import Exploding, Roll, advected

from ups.evaluation.ladder import Rung, error, leading_protocol, match, measure
from ups.evaluation.protocols import FROM_INITIAL, PDEBENCH
from ups.evaluation.rows import RowStore, trajectory_scores
from ups.models.peers import Persistence


def silent(fraction, text=""):
    pass


def climb(tmp_path, *rungs, data=None):
    store = RowStore(tmp_path, run="test")
    return measure(rungs, lambda truth: truth, data if data is not None else advected(), store, silent)


def test_short_trajectories_are_judged_from_the_initial_frame():
    assert leading_protocol(11) is PDEBENCH
    assert leading_protocol(10) is FROM_INITIAL


def test_the_error_of_an_exact_stepper_is_zero_and_of_a_blown_up_one_infinite():
    data = advected()
    assert error(Roll(), data, PDEBENCH) == 0
    assert error(Exploding(), data, PDEBENCH) == math.inf


def test_the_first_candidate_that_is_accurate_enough_is_matched():
    candidates = [Roll(bias=0.5), Roll(bias=0.1), Roll(bias=0.01)]
    place, found = match(candidates, advected(), PDEBENCH, error(Roll(bias=0.2), advected(), PDEBENCH))
    assert (place, found.bias) == (1, 0.1)


def test_the_most_accurate_candidate_is_matched_if_none_is_accurate_enough():
    place, found = match([Roll(bias=0.5), Roll(bias=0.1), Roll(bias=0.3)], advected(), PDEBENCH, 0.0)
    assert (place, found.bias) == (1, 0.1)
    with pytest.raises(ValueError, match="no candidates"):
        match([], advected(), PDEBENCH, 0.0)


def test_rungs_are_ordered_from_the_trivial_to_ours_and_peers_by_their_error(tmp_path):
    found = climb(
        tmp_path,
        Rung("ours", "ours", Roll()),
        Rung("good", "peer", Roll(bias=0.01)),
        Rung("bad", "peer", Roll(bias=1.0)),
        Rung("persistence", "trivial", Persistence()),
    )
    names = [rung["name"] for rung in found["ladder"]]
    assert names == ["persistence", "bad", "good", "ours", "codec ceiling"]


def test_rows_hold_every_rung_and_the_ceiling_with_the_errors_that_they_make(tmp_path):
    climb(tmp_path, Rung("persistence", "trivial", Persistence()), Rung("ours", "ours", Roll()))
    scores = trajectory_scores(tmp_path / "rows.parquet", "pdebench", "nrmse")
    assert set(scores) == {"persistence", "ours", "codec ceiling"}
    assert np.all(scores["ours"] == 0)
    assert np.all(scores["codec ceiling"] == 0)
    assert scores["persistence"].mean() == pytest.approx(error(Persistence(), advected(), PDEBENCH))


def test_a_rung_that_cannot_be_scored_is_named_with_the_reason(tmp_path):
    found = climb(tmp_path, Rung("needs ten", "peer", Roll(num_context=10)), Rung("ours", "ours", Roll()))
    assert found["not_scored"] == {
        "from_initial": {"needs ten": "needs 10 context frames, the protocol gives 1"}
    }


def test_a_rung_that_blows_up_is_said_to(tmp_path):
    found = climb(tmp_path, Rung("wild", "peer", Exploding()), Rung("ours", "ours", Roll()))
    assert any("wild blew up on" in note for note in found["notes"])


def test_the_examples_are_forecasts_of_the_leading_protocol(tmp_path):
    data = advected(num=11)
    climb(tmp_path, Rung("ours", "ours", Roll(bias=0.1)), data=data)
    with np.load(tmp_path / "examples.npz") as arrays:
        index = arrays["index"]
        assert torch.equal(torch.from_numpy(arrays["truth"]), data.values[index, 10:])
        worst = arrays["forecast/ours"][2] - arrays["truth"][2]
    np.testing.assert_allclose(worst[:, 0, 0], 0.1 * np.arange(1, 5), rtol=1e-4)
