import pytest
from scipy import stats

from ups.statistics.quantiles import student_quantile


@pytest.mark.parametrize("level", [0.9, 0.975, 0.995])
@pytest.mark.parametrize("freedom", [1.0, 2.0, 2.7, 9.0, 400.0])
def test_students_quantile_agrees_with_scipy(level, freedom):
    assert student_quantile(level, freedom) == pytest.approx(stats.t.ppf(level, freedom), rel=1e-5)
