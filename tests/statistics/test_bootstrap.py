import re

import numpy as np
import pytest
from scipy import stats

from ups.statistics.bootstrap import (
    Interval,
    bootstrap_mean,
    paired_bootstrap,
    size,
    verdict,
    verdict_between_runs,
)

INF = np.inf


def covers(interval, value):
    return interval.low <= value <= interval.high


@pytest.mark.parametrize("num", [5, 40])
def test_the_interval_of_the_mean_covers_95_percent_of_normal_data(num):
    rng = np.random.default_rng(0)
    hits = [covers(bootstrap_mean(rng.normal(3.0, 1.0, num), num_resamples=1000), 3.0) for _ in range(800)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.025)  # three standard errors are 0.023


def test_the_interval_of_the_skill_covers_95_percent_for_paired_data():
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(600):
        hard = rng.gamma(4.0, 1.0, 60)  # mean 4, shared by both
        baseline, variant = hard + rng.normal(1.0, 0.3, 60), 0.8 * hard + rng.normal(0.8, 0.3, 60)
        hits.append(covers(paired_bootstrap(variant, baseline, num_resamples=1000), 0.2))
    assert np.mean(hits) == pytest.approx(0.95, abs=0.027)


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_few_seeds_that_disagree_still_cover_where_trajectories_alone_do_not(num_seeds):
    rng = np.random.default_rng(2)
    hits, naive = [], []
    for _ in range(400):
        shift = 1.0 + 0.2 * rng.normal(
            size=(num_seeds, 1)
        )  # each training is better or worse on all trajectories
        variant = shift + 0.1 * rng.normal(size=(num_seeds, 40))
        baseline = np.full((num_seeds, 40), 1.0)
        hits.append(covers(paired_bootstrap(variant, baseline, num_resamples=500), 0.0))
        naive.append(covers(paired_bootstrap(variant.mean(0), baseline.mean(0), num_resamples=500), 0.0))
    assert 0.92 < np.mean(hits) <= 1.0
    assert np.mean(naive) < 0.5


def test_the_interval_of_a_mean_is_as_wide_as_its_seeds_differ():
    values = np.array([0.0, 1.0, 2.0])[:, None] + 1e-3 * np.random.default_rng(0).standard_normal((3, 50))
    found = bootstrap_mean(values)
    assert found.low < 0.2
    assert found.high > 1.8


def test_one_seed_in_two_dimensions_is_one_dimension():
    values, baseline = np.random.default_rng(0).gamma(2.0, 1.0, (2, 30))
    assert paired_bootstrap(values, baseline) == paired_bootstrap(values[None], baseline[None])


def test_pairing_is_tighter_for_correlated_errors():
    rng = np.random.default_rng(3)
    hard = rng.gamma(2.0, 1.0, 100)
    baseline, variant = hard, 0.9 * hard + 0.02 * rng.normal(size=100)
    paired = paired_bootstrap(variant, baseline)
    unpaired = paired_bootstrap(rng.permutation(variant), baseline)
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.high - paired.low < 0.1 * (unpaired.high - unpaired.low)
    assert paired.low > 0 > unpaired.low


def test_the_interval_agrees_with_the_textbook_for_many_values():
    values = np.random.default_rng(4).normal(size=400)
    half = stats.t.ppf(0.975, 399) * values.std(ddof=1) / 20
    mean, low, high = bootstrap_mean(values)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=0.05 * half)
    assert high == pytest.approx(mean + half, abs=0.05 * half)


def test_a_constant_ratio_has_no_width_and_units_do_not_matter():
    baseline = np.random.default_rng(5).gamma(2.0, 1.0, 50)
    skill = paired_bootstrap(0.75 * baseline, baseline)
    assert skill == pytest.approx((0.25, 0.25, 0.25))
    noisy = baseline * np.random.default_rng(6).uniform(0.5, 1.0, 50)
    assert paired_bootstrap(1e6 * noisy, 1e6 * baseline) == pytest.approx(paired_bootstrap(noisy, baseline))


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_the_same():
    values = np.random.default_rng(7).gamma(2.0, 1.0, 50)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values)
    assert bootstrap_mean(values, seed=1) == pytest.approx(bootstrap_mean(values), rel=0.02)


def test_one_number_says_nothing_about_its_spread():
    assert bootstrap_mean(np.array([2.0])) == (2.0, -INF, INF)
    assert verdict(np.array([1.0]), np.array([2.0])).word == "within noise"


def test_infinite_values_have_no_interval():
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap(np.array([1.0, INF]), np.ones(2))
    assert bootstrap_mean(np.array([1.0, INF])) == (INF, INF, INF)


def test_an_exact_baseline_cannot_be_improved():
    zero = np.zeros(5)
    assert paired_bootstrap(zero, zero) == (0.0, 0.0, 0.0)
    assert verdict(np.ones(5), zero).word == "harms"
    assert verdict(zero, np.ones(5)).text == "buys all of it"
    assert verdict(np.ones(5), zero).text == "harms a factor of ∞ [∞, ∞]"


def example(factor, num_seeds=1, noise=0.1, seed=8, num=100):
    rng = np.random.default_rng(seed)
    baseline = rng.gamma(4.0, 1.0, num) * np.ones((num_seeds, 1))
    return factor * baseline * (1 + noise * rng.normal(size=baseline.shape)), baseline


def test_the_verdict_says_buys_harms_or_within_noise():
    assert verdict(*example(0.82)).word == "buys"
    assert verdict(*example(0.82)).text.startswith("buys 1")
    assert verdict(*example(1.3)).word == "harms"
    assert verdict(*example(1.0)).text == "within noise"


def test_the_number_after_the_sign_is_half_the_width_of_the_interval():
    said = verdict(*example(0.82))
    half = 50 * (said.skill.high - said.skill.low)
    assert said.text == f"buys {100 * said.skill.mean:.0f} % ± {half:.0f}"


@pytest.mark.parametrize(
    ("skill", "text"),
    [
        (Interval(0.5, 0.4, 0.6), "50 % ± 10"),
        (Interval(-0.9, -1.1, -0.7), "90 % ± 20"),
        (Interval(-289.4, -363.0, -214.0), "a factor of 290 [215, 364]"),
        (Interval(0.9974, 0.9970, 0.9980), "a factor of 385 [333, 500]"),
        (Interval(0.99, 0.97, 1.01), "a factor of 100 [33.3, ∞]"),
        (Interval(-26456.68, -30000.0, -22000.0), "a factor of 26,000 [22,000, 30,000]"),
    ],
)
def test_large_effects_are_written_as_factors(skill, text):
    assert size(skill) == text


def test_a_small_certain_effect_keeps_its_digits():
    assert re.fullmatch(r"buys 0\.4\d % ± 0\.0\d", verdict(*example(0.996, noise=0.001)).text)


def test_no_effect_is_called_noise_95_times_of_100():
    words = [verdict(*example(1.0, seed=seed, num=25)).word for seed in range(300)]
    assert words.count("within noise") / 300 == pytest.approx(0.95, abs=0.038)


def test_one_seed_says_so_and_gives_no_verdict_between_runs():
    one, three = example(0.5), example(0.5, num_seeds=3)
    assert verdict(*one).scope == "over 100 trajectories, one seed"
    assert verdict_between_runs(*one).text == "no verdict: one seed"
    assert verdict_between_runs(*one).skill == verdict(*one).skill
    assert verdict_between_runs(*three).word == "buys"
    assert verdict(*three).scope == "over 3 seeds and 100 trajectories"


def test_seeds_that_disagree_are_noise_however_many_trajectories_there_are():
    baseline = np.random.default_rng(9).gamma(4.0, 1.0, 1000) * np.ones((3, 1))
    variant = baseline * np.array([[0.7], [1.1], [0.9]])
    assert verdict(variant[0], baseline[0]).word == "buys"
    assert verdict_between_runs(variant, baseline).word == "within noise"


def test_what_blows_up_loses():
    baseline = np.ones(4)
    broken = np.array([0.1, INF, 0.1, INF])
    assert verdict(broken, baseline).text == "harms: blows up on 2 of 4 trajectories"
    assert verdict(baseline, broken).text == "buys: the baseline blows up on 2 of 4 trajectories"
    assert verdict(broken, np.array([INF, 1, 1, 1])).word == "no verdict"
