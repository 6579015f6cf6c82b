import re

import numpy as np
import pytest

import records
from ups.reports.headline import headline
from ups.reports.ladder_table import ladder_table
from ups.reports.run_folder import read_run


@pytest.fixture
def say(make_run):
    rng = np.random.default_rng(2)
    hard = np.exp(0.5 * rng.normal(size=(60, 1)))
    noise = {}

    def sentence(kinds=None, broken=(), record=None, **levels):
        errors = {}
        for name, level in levels.items():
            noise.setdefault(name, np.exp(0.1 * rng.normal(size=(60, 4))))
            errors[name] = level * hard * noise[name]
            if name in broken:
                errors[name][5, 1:] = np.inf
        kinds = kinds or {
            "persistence": "trivial",
            "solver": "solver",
            "baseline": "baseline",
            "tuned": "baseline",
        }
        run = read_run(make_run(errors, [kinds.get(name, "ours") for name in levels], **(record or {})))
        return headline(run, ladder_table(run, run.questions[0]))

    return sentence


def test_a_win_states_error_interval_metric_factor_and_the_best_baseline(say):
    found = say(persistence=1.0, baseline=0.2, tuned=0.1, operator=0.02)
    assert found.sentence.startswith("Ours, operator, has an error of 0.02")
    assert "nRMSE" in found.sentence
    assert "times below the best baseline, tuned, at 0.1" in found.sentence
    factor = float(found.sentence.split(": ")[1].split(" times")[0])
    assert factor == pytest.approx(5, rel=0.1)
    assert "pdebench" in found.basis
    assert "One seed" in found.basis


def test_an_error_millions_of_times_below_is_a_factor_and_not_without_error(say):
    found = say(persistence=1.0, baseline=0.5, operator=1e-8)
    assert "without error" not in found.sentence
    factor = float(found.sentence.split(": ")[1].split(" times")[0])
    assert factor == pytest.approx(5e7, rel=0.2)


def test_a_loss_is_called_a_loss(say):
    found = say(persistence=1.0, baseline=0.2, tuned=0.01, operator=0.02)
    assert "it loses, 2" in found.sentence
    assert "times above the best baseline, tuned" in found.sentence


def test_each_rung_is_compared_once_where_the_solver_is_the_rung_below(say):
    found = say(persistence=1.0, solver=0.01, operator=0.02, corrector=0.015)
    assert sum("operator: " in line and "against solver" in line for line in found.findings) == 1
    assert sum("corrector: " in line and "against solver" in line for line in found.findings) == 1
    alone = say(persistence=1.0, solver=0.01, operator=0.02)
    assert sum("against solver" in line for line in alone.findings) == 1


def test_a_tie_is_not_called_a_win(say):
    assert (
        "not distinguishable from the best baseline"
        in say(persistence=1.0, baseline=0.02, operator=0.01995).sentence
    )


def test_a_blow_up_of_ours_is_no_win(say):
    found = say(persistence=1.0, baseline=0.2, operator=0.02, broken=["operator"])
    assert "infinite mean nRMSE (blows up on 1 of 60" in found.sentence
    assert "loses to the best baseline" in found.sentence


def test_a_blow_up_of_the_baseline_gives_no_factor(say):
    found = say(persistence=1.0, baseline=0.2, operator=0.02, broken=["baseline"])
    assert "without blowing up as does the best baseline" in found.sentence
    assert "times below" not in found.sentence


def test_without_baselines_the_opponent_is_what_stands_below(say):
    assert "times below the coarse solver, solver" in say(persistence=1.0, solver=0.2, operator=0.02).sentence
    assert "times below the best trivial baseline" in say(persistence=1.0, operator=0.02).sentence
    assert "no verdict" in say(operator=0.02).sentence


def test_without_ours_the_lowest_error_is_named(say):
    assert say(persistence=1.0, baseline=0.2).sentence.startswith(
        "No rung of ours was scored; the lowest error is that of baseline"
    )


def test_the_best_of_several_rungs_is_owned_up_to(say):
    found = say(persistence=1.0, baseline=0.2, operator=0.02, corrector=0.01, student=0.015)
    assert found.sentence.startswith("Our best rung, corrector,")
    assert "best of 3 was picked" in found.basis
    assert any(finding.startswith("student: harms") for finding in found.findings)
    assert any(finding.startswith("corrector: buys") for finding in found.findings)


def test_an_error_near_the_truths_own_is_flagged(say):
    data = records.data(truth_floor=0.0013)
    near = say(persistence=1.0, operator=0.0025, record={"data": data})
    assert "the test split, which itself is off by 0.0013" in near.findings[-1]
    far = say(persistence=1.0, operator=0.02, record={"data": data})
    assert not any("truth" in finding for finding in far.findings)


def test_ensembles_are_compared_with_every_noise_baseline_their_mean_and_the_perfect_one(ensemble_dir):
    run = read_run(ensemble_dir)
    found = headline(run, ladder_table(run, run.questions[0]))
    assert found.sentence.startswith("Our best rung, student, has a fair CRPS of 0.")
    assert "times below the best baseline, wide noise" in found.sentence
    assert "ranked by the fair CRPS" in found.basis
    findings = "\n".join(found.findings)
    assert re.search(r"^operator: .*, against point baseline\.$", findings, re.M)
    assert re.search(r"^corrector: .*, against operator\.$", findings, re.M)
    assert re.search(r"^corrector: .*, against wide noise\.$", findings, re.M)
    assert re.search(
        r"^corrector, the mean of its 6 members: .* in nRMSE, against operator\.$", findings, re.M
    )
    ratio = re.search(r"student has (\S+) \[.*\] times the fair CRPS of perfect ensemble", findings)
    assert float(ratio[1]) == pytest.approx(1.0, abs=0.1)
    assert not re.search(r"^perfect ensemble", findings, re.M)
