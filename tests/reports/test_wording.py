import math

import pytest

from ups.reports.wording import count, duration, in_brackets, interval, metric_name, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.010912, "0.0109"),
        (0.99951, "1.00"),
        (9.996, "10.0"),
        (123.4, "123"),
        (1234.4, "1234"),
        (0, "0"),
        (-0.25, "\N{MINUS SIGN}0.250"),
        (1.234e-7, "1.23e-07"),
        (math.inf, "∞"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_a_number_keeps_three_significant_digits(value, text):
    assert number(value) == text


def test_an_interval_is_not_broken_across_lines():
    assert interval(0.0098, 0.0121) == "[0.00980,\N{NO-BREAK SPACE}0.0121]"


def test_percent_shows_small_differences():
    assert [percent(x) for x in (0.182, 0.0182, 0.00182)] == ["18 %", "1.8 %", "0.18 %"]


def test_counts_and_durations_are_in_words():
    assert [count(x) for x in (12, 178_900, 1_250_000)] == ["12", "179 k", "1.25 M"]
    assert [duration(x) for x in (0.45, 59.7, 250, 7500)] == ["0.45 s", "60 s", "4 min 10 s", "2 h 5 min"]


def test_metrics_are_named_as_in_papers():
    assert [metric_name(x) for x in ("nrmse", "relative_l2", "frmse_high", "fair_crps")] == [
        "nRMSE",
        "relative L2",
        "fRMSE high",
        "fair CRPS",
    ]


def test_a_unit_stands_in_brackets_and_none_leaves_nothing():
    assert [in_brackets(unit) for unit in ("m/s", "1", "")] == [" (m/s)", "", ""]
