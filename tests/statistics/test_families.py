import numpy as np
import pytest
from scipy import stats

from ups.statistics.bootstrap import paired_bootstrap, paired_level
from ups.statistics.families import holm_levels, noise_floor, seeds_needed


def test_holm_rejects_in_order_and_stops_at_the_first_that_fails():
    # Holm's own order: .05/4, .05/3, .05/2, .05; the third fails, so the fourth does, though .04 < .05
    assert holm_levels([0.04, 0.01, 0.03, 0.005], 0.05) == pytest.approx([0.025, 0.05 / 3, 0.025, 0.0125])
    assert holm_levels([0.2], 0.05) == [0.05]
    assert holm_levels([], 0.05) == []
    rejected = [p <= level for p, level in zip([0.04, 0.03], holm_levels([0.04, 0.03], 0.05), strict=True)]
    assert rejected == [False, False]


def test_no_effect_among_many_is_found_in_at_most_five_per_cent_of_families():
    """P-values of independent nulls; a bound on the count that a right procedure passes in 999 of 1,000 cases."""
    rng = np.random.default_rng(0)
    wrong = 0
    for p_values in rng.uniform(size=(2000, 6)):
        levels = holm_levels(p_values.tolist(), 0.05)
        wrong += any(p <= level for p, level in zip(p_values, levels, strict=True))
    assert 60 < wrong <= stats.binom.ppf(0.999, 2000, 0.05)


def test_the_level_is_where_the_interval_begins_to_exclude_no_change():
    rng = np.random.default_rng(1)
    base = rng.gamma(4.0, 0.25, (5, 30))
    variant = 0.9 * base * np.exp(0.1 * rng.normal(size=(5, 1)) + 0.05 * rng.normal(size=base.shape))
    level = paired_level(variant, base)
    inside = paired_bootstrap(variant, base, confidence=1 - 0.9 * level)
    outside = paired_bootstrap(variant, base, confidence=1 - 1.1 * level)
    assert inside.low <= 0.0 <= inside.high
    assert outside.low > 0.0
    assert paired_level(base, base) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match="not finite"):
        paired_level(np.full((3, 4), np.inf), np.ones((3, 4)))


@pytest.mark.parametrize("number", [4, 8, 15])
def test_with_the_seeds_that_are_needed_the_effect_is_found_as_often_as_stated(number):
    """Changes of known deviation: Student's test finds the planted effect in about 80 % of repetitions."""
    rng = np.random.default_rng(number)
    standard = np.array([-1.0, 0.0, 1.0])  # deviation 1
    low, high = 0.01, 100.0
    while high - low > 1e-3:  # the smallest effect for which so many seeds are enough
        middle = (low + high) / 2
        low, high = (low, middle) if (seeds_needed(standard, middle) or 9999) <= number else (middle, high)
    found = stats.ttest_1samp(high + rng.normal(size=(20_000, number)), 0.0, axis=1).pvalue < 0.05
    assert 0.77 < found.mean() < 0.93  # Student's quantile for the power errs on the safe side


def test_what_cannot_be_told_is_not():
    assert seeds_needed(np.array([0.1]), 0.05) is None
    assert seeds_needed(np.array([0.1, np.nan]), 0.05) is None
    assert seeds_needed(np.array([-50.0, 50.0]), 0.01) is None
    assert seeds_needed(np.array([0.1, 0.1, 0.1]), 0.05) == 3
    assert np.isnan(noise_floor(np.array([1.0])))


def test_the_noise_floor_is_the_typical_difference_of_two_runs():
    rng = np.random.default_rng(2)
    runs = 1.0 + 0.1 * rng.normal(size=20_000)
    pairs = runs[::2] - runs[1::2]
    assert noise_floor(runs) == pytest.approx(np.sqrt(np.mean(pairs**2)), rel=0.03)
