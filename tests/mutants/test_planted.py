"""The table of bugs follows the source; whether tests catch them is a matter of minutes: `python -m mutants`."""

import pytest

from mutants.__main__ import ROOT, planted
from mutants.planted import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_line_is_there_once_and_what_it_becomes_is_python(mutant):
    compile(planted(mutant), mutant.file, "exec")
    assert all((ROOT / name).exists() for name in mutant.tests.split())
    assert mutant.tests
