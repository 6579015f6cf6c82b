import errno
import signal

import pytest
import typer

from ups.faults import LONGEST, explain
from ups.training.fit import DivergenceError, Interrupted
from ups.types import UserError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("data: no such file"), 2, "error: data: no such file"),
        (DivergenceError("stage 'operator' stopped"), 2, "error: stage 'operator' stopped"),
        (MemoryError("8 GiB"), 2, "error: not enough memory: 8 GiB; fewer trajectories, cells or members"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            2,
            "error: runs/x: No space left on device",
        ),
        (typer.Abort(), 128 + signal.SIGINT, "interrupted"),
    ],
)
def test_faults_of_the_user_and_of_the_machine_are_one_line(error, code, line):
    assert explain(error) == (code, line)


def test_an_interruption_says_how_to_go_on():
    code, line = explain(Interrupted(signal.SIGTERM, "at update 7 of 20"))
    assert code == 128 + signal.SIGTERM
    assert line.endswith("run the same command again to resume")


def test_a_line_is_short_whatever_the_user_wrote():
    assert len(explain(UserError("x\n" * 5000))[1]) <= len("error: ") + LONGEST
    assert "\n" not in explain(UserError("x\n" * 5000))[1]


def test_a_failure_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        explain(ZeroDivisionError("ours"))
