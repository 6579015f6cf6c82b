"""A short campaign in the suite, and proof that its judge sees what it must."""

import sys

import pytest

from fuzz.campaign import campaign, make_template
from fuzz.cases import KINDS
from fuzz.property import Case, carry_out
from ups import cli

SECONDS = 12.0


@pytest.fixture(scope="module")
def home(tmp_path_factory, cache, tiny_run):
    folder = tmp_path_factory.mktemp("fuzz")
    make_template(folder / "template", tiny_run)
    return folder


def test_hostile_inputs_are_refused_in_one_line_or_taken_right(home):
    counts, faults = campaign(home, 0, SECONDS)
    assert not faults, [(case.words, outcome.fault) for case, outcome in faults.values()]
    assert counts.keys() == KINDS.keys()


BEHAVIOURS = {
    "": "pass",
    "exit 1: RuntimeError: oh": "raise RuntimeError('oh')",
    "exit 0 and changed R/run.json": "open('R/run.json', 'a').write(' ')",
    "exit 2 and changed left.txt": "open('left.txt', 'w'); sys.exit(2)",
    "exit 2 with 2 lines: ['a', 'b']": "[print(x, file=sys.stderr) for x in 'ab']; sys.exit(2)",
    "exit 2 with a line of 400 characters: "
    + "x" * 100
    + " ...": "print('x' * 400, file=sys.stderr); sys.exit(2)",
    "took 2 GB": "b'x' * 2_000_000_000",
}


@pytest.mark.parametrize("fault", BEHAVIOURS)
def test_the_judge_sees_every_kind_of_fault(home, fault, monkeypatch):
    monkeypatch.setattr(cli, "main", lambda: exec(BEHAVIOURS[fault], {"sys": sys}))
    assert carry_out(Case("planted", ()), home / "template", home / "planted").fault == fault


def test_a_success_that_cannot_be_right_is_a_fault_and_what_may_be_written_may(home, monkeypatch):
    monkeypatch.setattr(cli, "main", lambda: open("new.h5", "w").close())
    ends = [
        carry_out(case, home / "template", home / "planted").fault
        for case in (
            Case("planted", ()),
            Case("planted", (), may_write=("new*",)),
            Case("planted", (), refused=True),
        )
    ]
    assert ends == ["exit 0 and changed new.h5", "", "exit 0 for what cannot be right"]
