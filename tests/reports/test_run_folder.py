import numpy as np
import pytest

from records import rewrite
from toy_ensembles import NUM_MEMBERS
from ups.reports.run_folder import Rung, read_run
from ups.types import UserError


def test_curves_are_the_values_of_the_rows(make_run):
    errors = np.random.default_rng(0).random((7, 5))
    run = read_run(make_run({"a": errors, "b": 2 * errors}, ["trivial", "ours"]))
    curves = run.curves("pdebench", "nrmse")
    np.testing.assert_allclose(curves["b"].value, 2 * errors)
    np.testing.assert_allclose(curves["b"].time, 0.05 * np.arange(1, 6))
    np.testing.assert_allclose(run.scores("pdebench", "nrmse")["a"], errors.mean(1)[None])


def test_a_missing_value_is_infinite_and_not_passed_over(make_run):
    errors = np.ones((3, 4))
    errors[1, 2] = np.inf
    run = read_run(make_run({"a": errors}, ["ours"]))
    assert run.scores("pdebench", "nrmse")["a"].tolist() == [[1.0, np.inf, 1.0]]


def test_the_record_says_order_and_ranking_metric(run_dir):
    run = read_run(run_dir)
    assert [(question.name, question.metric) for question in run.questions] == [
        ("pdebench", "nrmse"),
        ("from_initial", "relative_l2"),
        ("one_step", "nrmse"),
    ]
    mine = {"name": "one_step", "metric": "relative_l2", "description": "mine"}
    fresh = type(run)(run.path, run.record.also(protocols=[mine]))
    assert fresh.questions[0] == ("one_step", "mine", "relative_l2", "")


def test_a_stepper_that_the_ladder_does_not_name_is_kept(make_run):
    folder = make_run({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, ["trivial", "ours"])
    rewrite(folder, ladder=[{"name": "a", "kind": "trivial"}])
    assert read_run(folder).rungs == (Rung("a", "trivial"), Rung("b", ""))


def test_costs_are_apart_from_scores(run_dir):
    run = read_run(run_dir)
    assert run.costs["operator"]["num_parameters"] == 179_000
    assert "cost" not in {protocol for protocol, _ in run.measured}
    assert run.measured["pdebench", "nrmse"]
    assert not run.measured["pdebench", "relative_l2"]


def test_what_is_optional_may_be_absent(make_run):
    run = read_run(make_run({"a": np.ones((2, 2))}, ["ours"]))
    assert (run.examples, run.logs, run.costs, run.num_seeds) == ({}, {}, {}, 1)


@pytest.mark.parametrize("name", ["run.json", "rows.parquet"])
def test_a_folder_that_is_no_run_is_the_users_error(make_run, name):
    folder = make_run({"a": np.ones((2, 2))}, ["ours"])
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        read_run(folder)


def test_a_damaged_record_is_the_users_error(make_run):
    folder = make_run({"a": np.ones((2, 2))}, ["ours"])
    (folder / "run.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_run(folder)


def test_ensembles_have_their_members_their_arrays_and_a_metric_for_their_mean(ensemble_dir):
    run = read_run(ensemble_dir)
    assert {rung.name: rung.num_members for rung in run.rungs}["corrector"] == NUM_MEMBERS
    assert {rung.name: rung.num_members for rung in run.rungs}["operator"] == 1
    assert [(question.metric, question.mean_metric) for question in run.questions] == [
        ("fair_crps", "nrmse"),
        ("fair_crps", "relative_l2"),
        ("fair_crps", "nrmse"),
        ("fair_crps", "nrmse"),
    ]
    assert run.ensembles["members/corrector"].shape[0] == NUM_MEMBERS


def test_a_run_without_ensembles_has_no_metric_of_their_mean(run_dir):
    run = read_run(run_dir)
    assert run.ensembles == {}
    assert {question.mean_metric for question in run.questions} == {""}


def test_axes_are_named_by_the_record_and_a_field_that_it_lacks_by_its_number(run_dir, make_run):
    axis = read_run(run_dir).axis
    assert (axis.name(0), axis.unit(0), axis.space, axis.time) == ("u", "m/s", "m", "s")
    bare = read_run(make_run({"a": np.ones((2, 2))}, ["ours"])).axis
    assert (bare.name(1), bare.unit(1), bare.space) == ("field 1", "", "")
