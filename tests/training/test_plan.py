import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ups.training.plan import Plan, affordable, measure, plan_seconds, plan_updates

STARTS = (0.0, 0.5, 0.8)


def test_phases_get_their_fraction_of_the_updates():
    assert plan_updates(1000, STARTS).phase_updates == (500, 300, 200)


def test_phases_get_their_fraction_of_the_time():
    plan = plan_seconds(110.0, STARTS, (0.01, 0.03, 0.06), overhead=10.0)
    assert plan.phase_updates == (5000, 1000, 333)
    assert sum(n * c for n, c in zip(plan.phase_updates, (0.01, 0.03, 0.06), strict=True)) == pytest.approx(
        100, rel=1e-3
    )


def test_a_budget_smaller_than_the_calibration_still_trains():
    assert plan_seconds(1.0, STARTS, (1.0, 3.0, 6.0), overhead=5.0).phase_updates == (1, 1, 1)


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 300))
def test_progress_rises_from_0_to_1_and_meets_the_phase_starts(first, second, third):
    plan = Plan(STARTS, (first, second, third))
    progress = [plan.progress(update) for update in range(plan.num_updates + 1)]
    assert progress[0] == 0
    assert progress[-1] == 1
    assert all(a < b for a, b in pairwise(progress))
    assert progress[first + second] == 0.8
    if second:
        assert progress[first] == 0.5


@given(st.integers(1, 500), st.integers(0, 12))
def test_validations_are_as_many_as_asked_and_the_last_is_at_the_end(num_updates, num_validations):
    plan = replace(plan_updates(num_updates, (0.0,)), num_validations=num_validations)
    at = [update for update in range(1, num_updates + 1) if plan.validates(update)]
    assert len(at) == min(num_updates, num_validations)
    assert not at or at[-1] == num_updates


def test_the_cost_of_an_update_is_measured_after_a_slow_start():
    calls = []

    def one_update():
        calls.append(1)
        time.sleep(0.05 if len(calls) == 1 else 0.004)

    assert measure(one_update, seconds=10.0) == pytest.approx(0.005, abs=0.003)
    assert 4 <= len(calls) <= 22


def test_validations_take_a_fifth_of_a_budget_at_most_and_one_there_is():
    assert affordable(10, 60.0, 0.1) == 10
    assert affordable(10, 60.0, 4.0) == 3
    assert affordable(10, 60.0, 100.0) == 1
    assert affordable(0, 60.0, 0.1) == 0
