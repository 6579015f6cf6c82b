import math

import numpy as np
import pytest
import torch
from known_steppers import Exploding, Noisy, Roll, advected

from ups.evaluation.ladder import Rung, error, leading_protocol, match, measure
from ups.evaluation.protocols import FROM_INITIAL, PDEBENCH
from ups.evaluation.rows import RowStore, query, trajectory_scores
from ups.models.baselines import Persistence


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


def test_rungs_are_ordered_from_the_trivial_to_ours_and_baselines_alone_by_their_error(tmp_path):
    found = climb(
        tmp_path,
        Rung("known", "reference", Roll()),
        Rung("ours", "ours", Roll()),
        Rung("ours, worse", "ours", Roll(bias=2.0)),
        Rung("good", "baseline", Roll(bias=0.01)),
        Rung("bad", "baseline", Roll(bias=1.0)),
        Rung("persistence", "trivial", Persistence()),
    )
    names = [rung["name"] for rung in found["ladder"]]
    assert names == ["persistence", "bad", "good", "ours", "ours, worse", "known", "codec ceiling"]


def test_rows_hold_every_rung_and_the_reference_with_the_errors_that_they_make(tmp_path):
    climb(tmp_path, Rung("persistence", "trivial", Persistence()), Rung("ours", "ours", Roll()))
    scores = trajectory_scores(tmp_path / "rows.parquet", "pdebench", "nrmse")
    assert set(scores) == {"persistence", "ours", "codec ceiling"}
    assert np.all(scores["ours"] == 0)
    assert np.all(scores["codec ceiling"] == 0)
    assert scores["persistence"].mean() == pytest.approx(error(Persistence(), advected(), PDEBENCH))


def test_a_rung_that_cannot_be_scored_is_named_with_the_reason(tmp_path):
    found = climb(tmp_path, Rung("needs ten", "baseline", Roll(num_context=10)), Rung("ours", "ours", Roll()))
    assert found["not_scored"] == {
        "from_initial": {"needs ten": "needs 10 context frames, the protocol gives 1"},
        "middle": dict.fromkeys(
            ("needs ten", "ours"), "the first half of 14 frames is no longer than the context of 10"
        ),
    }


def test_a_rung_that_blows_up_is_said_to(tmp_path):
    found = climb(tmp_path, Rung("wild", "baseline", Exploding()), Rung("ours", "ours", Roll()))
    assert any("wild blew up on" in note for note in found["notes"])


def test_the_examples_are_forecasts_of_the_leading_protocol(tmp_path):
    data = advected(num=11)
    climb(tmp_path, Rung("ours", "ours", Roll(bias=0.1)), data=data)
    with np.load(tmp_path / "examples.npz") as arrays:
        index = arrays["index"]
        assert torch.equal(torch.from_numpy(arrays["truth"]), data.values[index, 10:])
        worst = arrays["forecast/ours"][2] - arrays["truth"][2]
    np.testing.assert_allclose(worst[:, 0, 0], 0.1 * np.arange(1, 5), rtol=1e-4)


ENSEMBLES = (
    Rung("persistence", "trivial", Persistence()),
    Rung("ours", "ours", Roll(bias=0.1)),
    Rung("noisy ours", "ours", Noisy(), num_members=4),
    Rung("noisy baseline", "baseline", Noisy(bias=0.1), num_members=3),
    Rung("reference", "reference", Noisy(), num_members=4),
)


def test_without_members_nothing_says_crps(tmp_path):
    found = climb(tmp_path, Rung("ours", "ours", Roll(bias=0.1)))
    assert not (tmp_path / "ensembles.npz").exists()
    assert [entry["metric"] for entry in found["protocols"]] == ["nrmse", "relative_l2", "nrmse"]
    assert all(set(entry) == {"name", "description", "metric"} for entry in found["protocols"])
    assert all(set(entry) - {"frames_read"} == {"name", "kind"} for entry in found["ladder"])
    assert not trajectory_scores(tmp_path / "rows.parquet", "pdebench", "fair_crps")


def test_with_members_every_rung_has_the_proper_scores_and_protocols_rank_by_them(tmp_path):
    data = advected(num=12)
    found = climb(tmp_path, *ENSEMBLES, data=data)
    assert {entry["metric"] for entry in found["protocols"]} == {"fair_crps"}
    assert [entry["mean_metric"] for entry in found["protocols"]] == ["nrmse", "relative_l2", "nrmse"]
    assert all("fair CRPS" in entry["description"] for entry in found["protocols"])
    names = {rung.name for rung in ENSEMBLES} | {"codec ceiling"}
    for protocol in ("pdebench", "from_initial", "one_step"):
        for metric in ("fair_crps", "energy_score", "spread", "squared_error", "nrmse"):
            scores = trajectory_scores(tmp_path / "rows.parquet", protocol, metric)
            assert set(scores) == names, (protocol, metric)
    crps = trajectory_scores(tmp_path / "rows.parquet", "one_step", "fair_crps")
    np.testing.assert_allclose(crps["ours"], 0.1, rtol=1e-4)  # a point forecast: its absolute error
    spread = trajectory_scores(tmp_path / "rows.parquet", "one_step", "spread")
    assert (spread["ours"] == 0).all()
    assert spread["noisy ours"].mean() == pytest.approx(0.01 * 5 / 4, rel=0.2)  # (M + 1) / M variances


def test_a_reference_is_scored_and_costed_and_stands_on_top_of_ours_in_their_given_order(tmp_path):
    found = climb(tmp_path, *ENSEMBLES)
    assert found["ladder"] == [
        {"name": "persistence", "kind": "trivial", "frames_read": 1},
        {"name": "noisy baseline", "kind": "baseline", "frames_read": 1, "num_members": 3},
        {"name": "ours", "kind": "ours", "frames_read": 1},
        {"name": "noisy ours", "kind": "ours", "frames_read": 1, "num_members": 4},
        {"name": "reference", "kind": "reference", "frames_read": 1, "num_members": 4},
        {"name": "codec ceiling", "kind": "reference"},
    ]
    costs = query(tmp_path / "rows.parquet", "select distinct stepper from rows where protocol = 'cost'")
    assert set(costs["stepper"]) == {rung.name for rung in ENSEMBLES}


def test_the_members_shown_are_of_the_median_example(tmp_path):
    data = advected(num=11)
    climb(tmp_path, *ENSEMBLES, data=data)
    with np.load(tmp_path / "ensembles.npz") as file, np.load(tmp_path / "examples.npz") as examples:
        median = examples["index"][1]
        assert file["trajectory"] == median
        np.testing.assert_array_equal(file["truth"], data.values[median, 10:])
        shown = {name.partition("/")[2] for name in file if name.startswith("members/")}
        np.testing.assert_allclose(
            file["members/reference"].mean(0), examples["forecast/reference"][1], rtol=1e-5
        )
    assert shown == {"noisy ours", "noisy baseline", "reference"}


def test_the_error_of_an_ensemble_is_its_crps_with_the_same_noise_at_every_call():
    data = advected(num=40)
    found = error(Noisy(), data, FROM_INITIAL, num_members=4)
    assert found == error(Noisy(), data, FROM_INITIAL, num_members=4)
    assert found != error(Noisy(), data, FROM_INITIAL, num_members=4, seed=1)
    # Step k has a spread of 0.1 sqrt(k) around the truth: E|x| - E|x - x'| / 2 = (sqrt(2) - 1) / sqrt(pi) std
    std = 0.1 * np.sqrt(np.arange(1, 14)).mean()
    assert found == pytest.approx((math.sqrt(2) - 1) / math.sqrt(math.pi) * std, rel=0.05)


def test_an_ensemble_is_forecast_and_charged_with_all_its_members(tmp_path):
    seen = set()

    class Watching(Noisy):
        def advance(self, state, generator=None):
            seen.add(len(state))
            return super().advance(state, generator)

    climb(tmp_path, Rung("ours", "ours", Roll()), Rung("noisy", "baseline", Watching(), num_members=5))
    assert seen == {30, 5}  # six trajectories at once, and one alone
