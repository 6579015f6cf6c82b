import inspect

from ups.data.equations import EQUATIONS


def test_the_parameters_are_those_that_the_equations_take():
    for name, defaults in EQUATIONS.items():
        assert set(defaults.params) == set(inspect.signature(defaults.kind).parameters), name
