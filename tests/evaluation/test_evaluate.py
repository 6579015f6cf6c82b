import math

import numpy as np
import pytest
import torch
from known_steppers import FIELDS, Exploding, Noisy, Roll, advected

from lines import on_line
from ups.evaluation.evaluate import Scored, Skipped, evaluate, forecast, score, score_forecast
from ups.evaluation.metrics import METRICS, MORE_IS_BETTER
from ups.evaluation.protocols import FROM_INITIAL, MIDDLE, ONE_STEP, PDEBENCH, PROTOCOLS, ranked_by_crps
from ups.evaluation.uncertainty import UNCERTAINTY, fair_crps
from ups.streams import stream


@pytest.fixture
def data():
    return advected()


def run(ladder, data, **settings):
    return {(found.protocol.name, found.stepper): found for found in evaluate(ladder, data, **settings)}


def values(rows, metric, **where):
    keep = rows["metric"] == metric
    for column, value in where.items():
        keep = keep & (rows[column] == value)
    return rows["value"][keep]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_an_exact_stepper_reproduces_the_truth_to_the_last_bit_under_every_protocol(
    data, protocol, batch_size
):
    if protocol is MIDDLE:
        data = advected(num_frames=25)
    prediction = forecast(Roll(), data, protocol, batch_size)
    first = {"pdebench": 10, "one_step": 10, "from_initial": 1, "middle": 12}[protocol.name]
    assert torch.equal(prediction[0], data.values[:, first:])


def test_an_exact_stepper_has_errors_of_exactly_0():
    for found in run({"exact": Roll()}, advected(num_frames=25)).values():
        errors = ~np.isin(found.rows["metric"], [*MORE_IS_BETTER])
        assert errors.any()
        assert (found.rows["value"][errors] == 0).all()
        assert (found.errors == 0).all()


def test_a_biased_stepper_errs_by_the_bias_per_step_and_by_one_bias_when_shown_the_truth(data):
    found = run({"biased": Roll(bias=0.25)}, data)
    rollout, one_step = found["pdebench", "biased"].rows, found["one_step", "biased"].rows
    for steps, frame in enumerate(range(10, 14), 1):
        time = frame * FIELDS.dt
        np.testing.assert_allclose(values(rollout, "rmse", time=time), 0.25 * steps, rtol=1e-6)
        np.testing.assert_allclose(values(one_step, "rmse", time=time), 0.25, rtol=1e-6)
    from_initial = found["from_initial", "biased"].rows
    np.testing.assert_allclose(values(from_initial, "crmse", time=13 * FIELDS.dt), 13 * 0.25, rtol=1e-6)


def test_a_stepper_that_needs_more_context_is_skipped_with_the_reason_and_not_in_silence():
    data = advected(num_frames=25)
    found = run({"exact": Roll(), "deep": Roll(num_context=10)}, data)
    skipped = [pair for pair, entry in found.items() if isinstance(entry, Skipped)]
    assert skipped == [("from_initial", "deep")]
    assert found["from_initial", "deep"].reason == "needs 10 context frames, the protocol gives 1"
    assert len(found) == 8


def test_rows_have_every_metric_at_every_scored_frame_of_every_trajectory(data):
    rows = run({"exact": Roll()}, data, batch_size=4)["pdebench", "exact"].rows
    assert set(rows["metric"]) == METRICS.keys() | {"blown_up"}
    per_frame = rows["metric"] == "nrmse"
    assert rows["trajectory"][per_frame].tolist() == np.repeat(np.arange(6), 4).tolist()
    assert rows["time"][per_frame].tolist() == np.tile(np.arange(10, 14) * FIELDS.dt, 6).tolist()
    assert set(rows["field"][per_frame]) == {"u"}
    whole = rows["metric"] == "relative_l2"
    assert rows["trajectory"][whole].tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isnan(rows["time"][whole]).all()
    assert set(rows["protocol"]) == {"pdebench"}
    assert set(rows["stepper"]) == {"exact"}


def test_a_batch_changes_no_number():
    data = advected(num_frames=25)
    ladder = {"biased": Roll(bias=0.25)}
    whole, parts = run(ladder, data), run(ladder, data, batch_size=4)
    for pair, found in whole.items():
        order = [
            np.lexsort((entry["time"], entry["trajectory"], entry["metric"]))
            for entry in (found.rows, parts[pair].rows)
        ]
        np.testing.assert_array_equal(found.rows["value"][order[0]], parts[pair].rows["value"][order[1]])
        np.testing.assert_array_equal(found.errors, parts[pair].errors)


def test_a_forecast_that_is_not_a_number_scores_infinity_and_is_counted():
    data = advected(num_cells=32)
    found = run({"exploding": Exploding(steps=2)}, data, batch_size=4)["pdebench", "exploding"]
    bad = data.values.mean((1, 2, 3)).numpy() > 0
    assert 0 < bad.sum() < 6
    assert not np.isnan(found.rows["value"]).any()
    np.testing.assert_array_equal(np.isinf(found.errors), bad)
    assert (found.errors[~bad] == 0).all()
    assert found.num_blown_up == bad.sum()
    late = found.rows["time"] > 11.5 * FIELDS.dt
    for name in METRICS.keys() - {"relative_l2", "correlation_time"}:
        worst = -math.inf if name in MORE_IS_BETTER else math.inf
        scored = found.rows["metric"] == name
        spoiled = bad[found.rows["trajectory"]] & late
        assert (found.rows["value"][scored & spoiled] == worst).all(), name
        assert np.isfinite(found.rows["value"][scored & ~spoiled]).all(), name
    np.testing.assert_array_equal(np.isinf(values(found.rows, "relative_l2")), bad)
    np.testing.assert_array_equal(values(found.rows, "correlation_time"), np.where(bad, 2, 4) * FIELDS.dt)


def test_a_forecast_made_elsewhere_is_scored_under_its_name(data):
    truth = data.values[:, 10:]
    found = score_forecast(PDEBENCH, "reference", 1.1 * truth[None], data, batch_size=4)
    assert set(found.rows["stepper"]) == {"reference"}
    np.testing.assert_allclose(found.errors, 0.1, rtol=1e-5)
    assert sorted(set(found.rows["trajectory"])) == [0, 1, 2, 3, 4, 5]


def test_one_infinite_cell_of_one_member_spoils_the_frame():
    truth = torch.ones(1, 3, 1, 8)
    prediction = truth.repeat(2, 1, 1, 1, 1)
    prediction[1, 0, 1, 0, 5] = torch.inf
    rows = score(prediction, truth, FIELDS, np.arange(3.0))
    assert values(rows, "brmse").tolist() == [0, math.inf, 0]


def test_a_metric_that_does_not_apply_to_a_field_has_no_rows_even_where_the_forecast_blew_up():
    fields = on_line(names=("u", "v"), units=("", ""), extent=1.0, dt=1.0, conserved=("v",))
    truth = torch.ones(2, 3, 2, 8)
    rows = score(torch.full_like(truth, torch.nan)[None], truth, fields, np.arange(3.0))
    gap = rows["metric"] == "conservation_gap"
    assert set(rows["field"][gap]) == {"v"}
    assert (rows["value"][gap] == math.inf).all()
    assert set(rows["field"][rows["metric"] == "rmse"]) == {"u", "v"}


def test_a_truth_that_is_not_a_number_is_not_dropped():
    truth = torch.full((1, 2, 1, 8), torch.nan)
    rows = score(torch.ones_like(truth)[None], truth, FIELDS, np.arange(2.0))
    assert values(rows, "nrmse").tolist() == [math.inf, math.inf]


def test_an_ensemble_has_its_members_and_the_seed_fixes_them(data):
    settings = {"num_members": {"noisy": 3}, "protocols": (PDEBENCH,), "batch_size": 4}
    first, again, other = (run({"noisy": Noisy()}, data, seed=seed, **settings) for seed in (0, 0, 1))
    pair = ("pdebench", "noisy")
    assert first[pair].prediction.shape[0] == 3
    assert torch.equal(first[pair].prediction, again[pair].prediction)
    assert not torch.equal(first[pair].prediction, other[pair].prediction)


def test_another_rung_in_the_ladder_does_not_move_the_noise():
    data = advected(num_frames=25)
    alone = run({"noisy": Noisy()}, data)
    beside = run({"other": Noisy(), "noisy": Noisy()}, data)
    for protocol in PROTOCOLS:
        pair = (protocol.name, "noisy")
        assert torch.equal(alone[pair].prediction, beside[pair].prediction)
        assert not torch.equal(beside[pair].prediction, beside[protocol.name, "other"].prediction)


def test_the_mean_of_many_members_is_better_than_one():
    data = advected(num=100)
    one = forecast(Noisy(), data, FROM_INITIAL, generator=stream(0, "noise"))
    many = forecast(Noisy(), data, FROM_INITIAL, num_members=64, generator=stream(0, "noise"))
    truth = data.values[:, 1:]
    ratio = (many.mean(0) - truth).square().mean() / (one[0] - truth).square().mean()
    assert ratio.item() == pytest.approx(1 / 64, rel=0.2)


def test_results_come_one_by_one_with_the_progress(data):
    seen = []
    results = evaluate({"exact": Roll()}, data, progress=lambda fraction, text: seen.append((fraction, text)))
    assert isinstance(next(results), Scored)
    assert seen == [(0.0, "pdebench: exact")]
    list(results)
    assert [fraction for fraction, _ in seen] == [0, 1 / 4, 2 / 4, 3 / 4, 1]


def test_one_step_shows_the_truth_before_every_frame(data):
    seen = []

    class Watching(Roll):
        def encode(self, context, params):
            seen.append(context.clone())
            return super().encode(context, params)

    forecast(Watching(), data, ONE_STEP)
    assert [
        torch.equal(context, data.values[:, start : start + 10]) for start, context in enumerate(seen)
    ] == [True] * 4


def test_an_ensemble_ranked_by_crps_has_the_errors_that_its_members_make(data):
    protocol = ranked_by_crps(PDEBENCH)
    settings = {"num_members": {"noisy": 3}, "metrics": METRICS | UNCERTAINTY}
    found = run({"noisy": Noisy(), "exact": Roll()}, data, protocols=(protocol,), **settings)
    noisy = found["pdebench", "noisy"]
    expected = fair_crps(noisy.prediction, data.values[:, 10:], FIELDS).mean((1, 2))
    np.testing.assert_allclose(noisy.errors, expected)
    exact = found["pdebench", "exact"].rows
    assert set(exact["metric"]) == METRICS.keys() | UNCERTAINTY.keys() | {"blown_up"}
    assert all((values(exact, metric) == 0).all() for metric in UNCERTAINTY)


def test_members_share_the_batch_in_which_a_forecast_is_scored(data):
    prediction = forecast(Noisy(), data, PDEBENCH, num_members=4, generator=stream(0, "noise"))
    sizes = []

    def watch(prediction, truth, fields):
        sizes.append(prediction.shape[0] * prediction.shape[1])
        return fair_crps(prediction, truth, fields)

    found = score_forecast(PDEBENCH, "noisy", prediction, data, batch_size=8, metrics={"watch": watch})
    assert max(sizes) == 8
    whole = fair_crps(prediction, data.values[:, 10:], FIELDS)
    np.testing.assert_allclose(values(found.rows, "watch"), whole.flatten())
    assert sorted(set(found.rows["trajectory"])) == [0, 1, 2, 3, 4, 5]
