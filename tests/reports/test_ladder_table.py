import numpy as np
import pytest

from ups.record import RungRecord
from ups.reports.ladder_table import ladder_table, ratio_of
from ups.reports.run_folder import RunFolder, read_run
from ups.statistics.bootstrap import Interval

KINDS = ["trivial", "solver", "baseline", "baseline", "ours", "ours", "ours", "reference"]
NAMES = ["persistence", "solver", "weak baseline", "strong baseline", "operator", "same", "worse", "codec"]


@pytest.fixture
def errors():
    rng = np.random.default_rng(5)
    hard = np.exp(rng.normal(size=(80, 1)))  # the same trajectories are hard for everyone
    levels = [1.0, 0.2, 0.1, 0.05, 0.02, 0.02, 0.022, 0.001]
    found = {
        name: level * hard * np.exp(0.1 * rng.normal(size=(80, 6)))
        for name, level in zip(NAMES, levels, strict=True)
    }
    return found | {"same": found["operator"].copy()}


def table_of(folder):
    run = read_run(folder)
    return ladder_table(run, run.questions[0])


def test_errors_and_skills_are_those_of_the_rows(make_run, errors):
    table = table_of(make_run(errors, KINDS))
    for name, values in errors.items():
        row = table.row(name)
        per_trajectory = values.mean(1)
        half = 1.96 * per_trajectory.std(ddof=1) / np.sqrt(80)
        assert row.error.mean == pytest.approx(per_trajectory.mean())
        assert row.error.high - row.error.low == pytest.approx(2 * half, rel=0.15)
        assert row.error.low < row.error.mean < row.error.high
        if name not in ("persistence", "codec"):
            assert row.skill.mean == pytest.approx(1 - values.mean() / errors["persistence"].mean())


def test_each_rung_stands_on_the_one_below(make_run, errors):
    table = table_of(make_run(errors, KINDS))
    assert {row.rung.name: row.below for row in table.rows} == {
        "persistence": None,
        "solver": "persistence",
        "weak baseline": "solver",
        "strong baseline": "solver",
        "operator": "strong baseline",
        "same": "operator",
        "worse": "same",
        "codec": None,
    }
    assert table.best("baseline") == "strong baseline"
    assert table.row("operator").verdict.skill.mean == pytest.approx(
        1 - errors["operator"].mean() / errors["strong baseline"].mean()
    )


def test_verdicts_tell_help_from_nothing_from_harm(make_run, errors):
    table = table_of(make_run(errors, KINDS))
    words = {row.rung.name: row.verdict.word for row in table.rows if row.verdict}
    assert words["operator"] == "buys"
    assert words["same"] == "within noise"
    assert (
        words["worse"] == "harms"
    )  # by a tenth, far less than trajectories differ: the comparison is paired


def test_the_best_baseline_is_not_the_one_that_blows_up_once(make_run, errors):
    errors["strong baseline"][3, 2:] = np.inf
    table = table_of(make_run(errors, KINDS))
    assert table.best("baseline") == "weak baseline"
    row = table.row("strong baseline")
    assert (row.num_blown_up, row.error.mean, row.verdict.word) == (1, np.inf, "harms")
    assert row.median == pytest.approx(np.median(errors["strong baseline"].mean(1)))


def test_a_missing_kind_is_stepped_over(make_run, errors):
    kept = {name: errors[name] for name in ("persistence", "operator")}
    table = table_of(make_run(kept, ["trivial", "ours"]))
    assert table.row("operator").below == "persistence"
    assert table.best("baseline") is None


def test_what_could_not_be_scored_says_why(make_run, errors):
    folder = make_run(errors, KINDS, not_scored={"pdebench": {"late": "needs 20 frames"}})
    run = read_run(folder)
    late = run.record.also(ladder=(*run.record.ladder, RungRecord(name="late", kind="ours")))
    run = RunFolder(run.path, late)
    row = ladder_table(run, run.questions[0]).row("late")
    assert (row.scored, row.reason) == (False, "needs 20 frames")


def test_a_point_forecast_stands_on_point_forecasts_and_an_ensemble_on_anything(make_run, errors):
    run = read_run(make_run(errors, KINDS))
    drawn = ("strong baseline", "same")
    ladder = [
        entry.model_copy(update={"num_members": 4 if entry.name in drawn else 1})
        for entry in run.record.ladder
    ]
    run = RunFolder(run.path, run.record.also(ladder=tuple(ladder)))
    table = ladder_table(run, run.questions[0])
    assert table.row("operator").below == "weak baseline"
    assert table.row("same").below == "operator"
    assert table.best("baseline") == "strong baseline"


def test_the_mean_of_the_members_is_judged_by_its_own_metric(ensemble_dir):
    run = read_run(ensemble_dir)
    table = ladder_table(run, run.questions[0])
    nrmse = run.scores("pdebench", "nrmse")
    row = table.row("corrector")
    assert (row.below, row.verdict.word) == ("operator", "buys")
    assert row.mean_error.mean == pytest.approx(nrmse["corrector"].mean())
    assert row.mean_verdict.skill.mean == pytest.approx(
        1 - nrmse["corrector"].mean() / nrmse["operator"].mean()
    )
    reference = table.row("perfect ensemble")
    assert (reference.below, reference.verdict, reference.mean_verdict, reference.skill) == (
        None,
        None,
        None,
        None,
    )
    assert reference.cost["ms_per_frame"] > 0


def test_a_ratio_is_what_the_skill_leaves():
    assert ratio_of(Interval(0.25, 0.1, 0.4)) == (0.75, 0.6, 0.9)
