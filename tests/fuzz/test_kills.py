"""The judge of the kills sees what it must; the campaign itself is a command."""

import random
import subprocess
import sys

import pytest

from fuzz import kills
from fuzz.kills import Work, files, kill, whole

SLEEP = "import time; time.sleep(0.3)\n"
WRITE = "from pathlib import Path; p = Path('made'); p.mkdir(exist_ok=True)\n"
ROWS = """
import duckdb
def rows(name, value):
    with duckdb.connect() as c:
        c.sql(f"select 'r' as run, 'p' as protocol, {value} as value").write_parquet(name)
"""
RIGHT = ROWS + WRITE + SLEEP + "rows('made/.new', 1.0); Path('made/.new').rename('made/rows.parquet')"
WRONG = {
    "ends the same": RIGHT,
    "other numbers in": RIGHT.replace("1.0", "2.0"),
    "other files: ['left']": "from pathlib import Path; Path('left').touch()\n" + RIGHT,
    "cannot be read": WRITE + "Path('made/rows.parquet').write_text('half')\n" + SLEEP + RIGHT,
    "exit 3": "import sys; sys.exit(3)",
}


@pytest.fixture
def command(monkeypatch):
    def say(script):
        monkeypatch.setattr(
            kills,
            "start",
            lambda work, folder: subprocess.Popen(
                [sys.executable, "-c", script], cwd=folder, stderr=subprocess.PIPE, text=True
            ),
        )

    return say


@pytest.mark.parametrize("fault", WRONG)
def test_the_judge_sees_every_kind_of_fault(tmp_path, command, fault):
    (tmp_path / "template").mkdir()
    work, draw = Work((), "made"), random.Random(1)
    command(RIGHT)
    expected = whole(work, tmp_path / "template", tmp_path / "whole")
    assert expected.files == files(tmp_path / "whole") == {"made/rows.parquet"}
    command(WRONG[fault])
    judged = kill(work, tmp_path / "template", tmp_path / "case", expected, draw)
    assert (judged.fault or "ends the same").startswith(fault) or fault in judged.fault
    assert judged.kills > 0 or fault == "exit 3"
