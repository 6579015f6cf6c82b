import numpy as np
import pytest

from ups.reports.ensemble_evidence import Evidence, resolved, worst_deviation
from ups.reports.ladder_table import ladder_table
from ups.reports.run_folder import read_run


@pytest.fixture(scope="module")
def evidence(ensemble_dir):
    run = read_run(ensemble_dir)
    return Evidence(run, ladder_table(run, run.questions[0]))


def test_what_sees_the_truth_is_left_out_and_the_perfect_ensemble_found(evidence):
    names = [rung.name for rung in evidence.rungs]
    assert "codec ceiling" not in names
    assert {"persistence", "operator", "perfect ensemble"} <= set(names)
    assert [rung.name for rung in evidence.ensembles] == [
        "wide noise",
        "corrector",
        "student",
        "perfect ensemble",
    ]
    assert evidence.perfect == "perfect ensemble"
    assert evidence.horizons == [1, 2, 5, 10]


def test_scores_are_those_of_the_rows_at_the_horizon(evidence, ensemble_dir):
    curve = read_run(ensemble_dir).curves("pdebench", "fair_crps")["corrector"]
    assert evidence.score("fair_crps", "corrector", 5).mean == pytest.approx(curve.value[:, 4].mean())
    assert evidence.score("fair_crps", "corrector", None).mean == pytest.approx(curve.value.mean())


def test_the_perfect_ensemble_and_another_draw_of_it_are_equal_within_noise_and_what_is_wrong_is_worse(
    evidence,
):
    for horizon in (1, 5, None):
        same = evidence.against_perfect("fair_crps", "student", horizon)
        assert abs(same.mean) < same.high - same.low < 0.15
        assert evidence.against_perfect("energy_score", "corrector", horizon).high < 0
        assert evidence.against_perfect("fair_crps", "operator", horizon).high < 0
    assert evidence.against_perfect("fair_crps", "perfect ensemble", 1) is None


def test_the_spread_skill_ratio_knows_how_wide_each_ensemble_is(evidence):
    assert evidence.spread_skill("wide noise", 1).low > 1.2
    assert evidence.spread_skill("corrector", 1).high < 0.8
    found = evidence.spread_skill("perfect ensemble", 1)
    assert found.low < 1 < found.high


def test_a_member_that_blows_up_makes_a_score_infinite_and_is_left_out_of_ratios(evidence, ensemble_dir):
    run = read_run(ensemble_dir)
    broken = Evidence(run, ladder_table(run, run.questions[0]))
    broken.values = {
        metric: {name: value.copy() for name, value in found.items()}
        for metric, found in evidence.values.items()
    }
    broken.arrays = {name: value.copy() for name, value in evidence.arrays.items()}
    for metric in broken.values.values():
        metric["corrector"][3] = np.inf
    for name in ("ranks", "coverage", "energy"):
        broken.arrays[f"{name}/corrector"][3] = np.nan
    assert broken.score("fair_crps", "corrector", 1).mean == np.inf
    assert broken.against_perfect("fair_crps", "corrector", 1) is None
    assert broken.num_blown_up("corrector") == 1
    assert broken.spread_skill("corrector", 1).mean == pytest.approx(
        evidence.spread_skill("corrector", 1).mean, rel=0.1
    )
    _, size = broken.spectrum("corrector", "truth", 1)
    assert np.isfinite(size).all()
    assert len(broken.coverage("corrector")) == 2
    for metric in broken.values.values():
        metric["corrector"][:] = np.inf
    for name in ("ranks", "coverage", "energy"):
        broken.arrays[f"{name}/corrector"][:] = np.nan
    assert np.isnan(broken.spread_skill("corrector", 1).mean)
    assert np.isnan(broken.spectrum("corrector", "truth", 1)[1].mean)
    assert broken.coverage("corrector") == []


def test_coverage_and_ranks_convict_the_narrow_ensemble_alone(evidence):
    assert evidence.flatness("corrector") < 0.01
    assert evidence.flatness("student") > 0.01
    assert evidence.coverage("corrector")[1].high < 5 / 7 < evidence.coverage("wide noise")[1].low


def test_resolved_is_what_stands_above_the_floor_but_for_the_mean_and_the_last():
    spectrum = np.array([[1e9, 1.0, 0.1, 2e-6, 0.5e-6, 3.0], [1.0, 1e-9, 1e-3, 1e-3, 1e-3, 1e-3]])
    assert resolved(spectrum).tolist() == [
        [False, True, True, True, False, False],
        [False, False, True, True, True, False],
    ]


def energies(num=200, planted=0.0, seed=0):
    """Energies of single draws and of the mean of eight, one of ten modes of which has less."""
    rng = np.random.default_rng(seed)
    size = np.exp(0.5 * rng.normal(size=(num, 1))) * np.arange(1, 11) ** -2.0
    truth, members = size * rng.chisquare(2, (num, 10)) / 2, size * rng.chisquare(16, (num, 10)) / 16
    members[:, 6] *= 1 - planted
    return members, truth


def test_a_planted_deviation_is_found_where_it_is_and_its_size_is_in_the_interval():
    place, size = worst_deviation(*energies(planted=0.7))
    assert place == 6
    assert 0 < size.low < 0.7 < size.high
    assert size.low < size.mean < size.high


def test_equal_laws_are_seldom_told_apart():
    wrong = [worst_deviation(*energies(seed=seed), num_resamples=300)[1].low > 0 for seed in range(60)]
    assert np.mean(wrong) <= 0.12


def test_energies_that_are_equal_deviate_by_nothing_and_one_trajectory_says_nothing():
    members, _ = energies()
    assert worst_deviation(members, members)[1] == (0.0, 0.0, 0.0)
    _, size = worst_deviation(members[:1], 2 * members[:1])
    assert (size.mean, size.low, size.high) == (0.5, 0.0, np.inf)
