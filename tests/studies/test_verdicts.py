import re

import numpy as np
import pytest

from ups.studies.study import Decision
from ups.studies.verdicts import MIN_SEEDS, effect_by_seed, effect_of, judge, rule


def simulated(rng, num_seeds, effect, num_trajectories=40, between=0.1, within=0.2):
    """Errors of base and variant: hard trajectories are shared, each training has its own luck."""
    hard = rng.gamma(4.0, 0.25, num_trajectories)

    def runs():
        luck = np.exp(between * rng.normal(size=(num_seeds, 1)))
        return hard * luck * np.exp(within * rng.normal(size=(num_seeds, num_trajectories)))

    return (1.0 - effect) * runs(), runs()


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_without_an_effect_the_verdict_is_within_noise_at_least_as_often_as_stated(num_seeds):
    rng = np.random.default_rng(0)
    words = [judge(*simulated(rng, num_seeds, 0.0), Decision()).word for _ in range(150)]
    share = words.count("within noise") / len(words)
    assert share > 0.95 - 0.054  # three standard errors of 150 draws
    assert set(words) <= {"within noise", "better", "worse"}


def test_the_confidence_sets_the_rate_of_false_verdicts():
    rng = np.random.default_rng(1)
    drawn = [simulated(rng, 5, 0.0) for _ in range(100)]
    rates = [
        np.mean([judge(*pair, Decision(confidence=level)).word != "within noise" for pair in drawn])
        for level in (0.95, 0.5)
    ]
    assert rates[0] < 0.1
    assert 0.25 < rates[1] < 0.6


@pytest.mark.parametrize(("effect", "word"), [(0.4, "better"), (-0.6, "worse")])
def test_a_planted_effect_is_found_and_its_size_is_right(effect, word):
    rng = np.random.default_rng(2)
    found = [judge(*simulated(rng, 5, effect), Decision()) for _ in range(40)]
    assert np.mean([each.word == word for each in found]) > 0.9
    assert np.mean([each.effect.mean for each in found]) == pytest.approx(effect, abs=0.04)
    assert np.mean([each.effect.low <= effect <= each.effect.high for each in found]) > 0.85


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_fewer_than_three_seeds_are_not_enough_however_large_the_effect(num_seeds):
    variant, base = simulated(np.random.default_rng(3), num_seeds, 0.99)
    found = judge(variant, base, Decision())
    assert found.word == "not enough seeds"
    assert found.text == f"not enough seeds: {num_seeds} of at least {MIN_SEEDS}"
    assert found.effect.mean == pytest.approx(0.99, abs=0.01)


def test_an_effect_that_is_sure_but_small_is_said_to_be_too_small():
    rng = np.random.default_rng(4)
    base = rng.gamma(4.0, 0.25, (3, 40))
    variant = base * (0.99 + 0.0005 * rng.normal(size=base.shape))
    assert re.fullmatch(r"better by (0.99|1.00|1.01) % ± 0.0[1-3]", judge(variant, base, Decision()).text)
    found = judge(variant, base, Decision(minimal_percent=2.0))
    assert found.word == "too small to matter"
    assert found.text == "too small to matter: better by less than 2 %"
    assert judge(base, variant, Decision(minimal_percent=2.0)).text.startswith("too small to matter: worse")


def test_where_more_is_better_the_sign_turns():
    base = np.random.default_rng(5).gamma(40.0, 0.025, (3, 40))
    found = judge(1.5 * base, base, Decision(), smaller_is_better=False)
    assert found.word == "better"
    assert found.effect == pytest.approx((0.5, 0.5, 0.5))
    assert judge(1.5 * base, base, Decision()).word == "worse"
    noisy = base * np.exp(0.1 * np.random.default_rng(6).normal(size=base.shape))
    low, high = effect_of(noisy, base, 0.95, True)[1:]
    assert effect_of(noisy, base, 0.95, False)[1:] == (-high, -low)


def test_the_effects_of_the_seeds_are_those_of_the_pairs():
    base = np.array([[1.0, 3.0], [2.0, 2.0]])
    variant = np.array([[1.0, 1.0], [3.0, 3.0]])
    assert effect_by_seed(variant, base, True).tolist() == [0.5, -0.5]
    assert effect_by_seed(variant, base, False).tolist() == [-0.5, 0.5]


def test_pairing_seeds_finds_what_unpaired_seeds_hide():
    rng = np.random.default_rng(7)
    luck = np.exp(0.5 * rng.normal(size=(4, 1)))  # shared by the pair: equal initial weights and batches
    base = luck * rng.gamma(40.0, 0.025, (4, 40))
    variant = 0.9 * base * np.exp(0.01 * rng.normal(size=base.shape))
    assert judge(variant, base, Decision()).word == "better"
    assert judge(np.roll(variant, 1, axis=0), base, Decision()).word == "within noise"


def test_what_blows_up_loses_against_what_does_not():
    base = np.ones((3, 10))
    broken = base.copy()
    broken[1, 4] = np.inf
    assert judge(broken, base, Decision()).text == "worse: not finite on 1 of 10 trajectories, the base on 0"
    assert judge(base, broken, Decision()).word == "better"
    assert judge(broken, broken, Decision()).word == "no verdict"
    assert np.isnan(judge(broken, base, Decision()).effect.mean)
    assert judge(broken[:2], base[:2], Decision()).word == "not enough seeds"


def test_other_test_trajectories_give_no_verdict():
    found = judge(np.ones((3, 12)), np.ones((3, 10)), Decision())
    assert (found.word, found.text) == ("no verdict", "no verdict: not the same number of test trajectories")


def test_the_rule_names_its_numbers():
    said = rule(Decision(minimal_percent=2.5, confidence=0.9))
    assert "90 %" in said
    assert "at least 2.5 %" in said
    assert "at least" not in rule(Decision())
