import numpy as np
import pytest

from ups.statistics.calibration import spread_skill_interval


def ensembles(num, num_members, width=1.0, seed=0):
    """Spread and squared error of one cell per trajectory; the trajectories differ in how uncertain they are."""
    rng = np.random.default_rng(seed)
    scale = np.exp(0.3 * rng.normal(size=num))
    members, truth = width * scale * rng.normal(size=(num_members, num)), scale * rng.normal(size=num)
    return (num_members + 1) / num_members * members.var(0, ddof=1), (members.mean(0) - truth) ** 2


def test_the_ratio_is_the_root_of_a_ratio_of_means():
    spread, error = np.array([1.0, 3.0]), np.array([1.0, 15.0])
    assert spread_skill_interval(spread, error).mean == pytest.approx(0.5)


def test_the_interval_covers_1_for_calibrated_ensembles_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        _, low, high = spread_skill_interval(*ensembles(80, 4, seed=seed), num_resamples=400)
        covered += low <= 1.0 <= high
    assert 0.9 < covered / 200 < 0.99


def test_an_ensemble_that_is_too_narrow_is_refuted():
    mean, low, high = spread_skill_interval(*ensembles(400, 8, width=0.7))
    assert low < mean < high < 0.9


def test_a_point_forecast_has_the_ratio_0_and_no_interval_below_it():
    _, error = ensembles(20, 4)
    assert spread_skill_interval(np.zeros(20), error).mean == 0.0
    assert spread_skill_interval(*ensembles(3, 4)).low >= 0.0


def test_what_blew_up_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        spread_skill_interval(np.array([1.0, np.inf]), np.array([1.0, 1.0]))
