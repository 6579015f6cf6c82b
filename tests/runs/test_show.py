import pytest

from tiny_recipe import kicked, tiny
from ups.config import override
from ups.runs.show import estimates, memory_gb, settings_lines


def test_every_setting_has_a_line_with_its_value_and_its_meaning():
    lines = {line.path: line for line in settings_lines(kicked())}
    assert lines["corrector.num_steps"].value == "2"
    assert lines["training.unroll"].value == "[[0, 1]]"
    assert lines["baselines.crps_operator.width"].value == "8"
    without = {path for path, line in lines.items() if not line.meaning and not path.endswith("kind")}
    assert without == set()


def test_each_line_given_back_changes_nothing():
    settings = kicked()
    lines = [line for line in settings_lines(settings) if not line.path.endswith("kind")]
    assert override(settings, [f"{line.path}={line.value}" for line in lines]) == settings


def test_every_rung_is_estimated_as_it_is_trained(cache):
    found = {each.name: each for each in estimates(kicked())}
    assert [name for name, each in found.items() if each.updates] == [
        "operator",
        "crps_operator",
        "corrector",
        "student",
    ]
    assert found["operator"].updates == 30
    assert found["operator"].seconds > 0
    assert found["student"].on == "corrector"
    assert found["persistence"].num_parameters == 0 < found["operator"].num_parameters


def test_a_budget_in_seconds_is_that_many_seconds(cache):
    settings = override(tiny(), ["training.updates=null", "training.seconds=100"])
    (operator,) = (each for each in estimates(settings) if each.name == "operator")
    assert operator.seconds == pytest.approx(100, rel=0.1)
    assert operator.updates > 300


def test_the_memory_is_that_of_the_trajectories_at_least(cache):
    settings = tiny()
    found = estimates(settings)
    values = 40 * 14 * 32 * 4 / 1e9
    assert values < memory_gb(settings, found) < values + 1e-3
