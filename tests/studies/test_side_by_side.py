import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toy_study
from ups.files import FAILED
from ups.studies import side_by_side
from ups.studies.carry_out import Ended
from ups.studies.side_by_side import Asked, Task, choose, on_cores, on_ray, tasks
from ups.studies.study import Cell, cells
from ups.types import UserError

STUDY = Path(__file__).parents[1] / "tiny_study.py"
TWO = [Cell("base", 0), Cell("planted", 0)]
KILLS_ITSELF_ONCE = (
    "import os, signal, pathlib; p = pathlib.Path('{folder}/killed-{cell}'); n = p.exists(); p.touch(); "
    "n or os.kill(os.getpid(), signal.SIGKILL)"
)


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Cells are what a line of Python does; returns the engine's results for the lines by cell."""

    def carry(engine, **lines):
        def made(asked, folder, left, threads):
            return [
                Task(
                    cell,
                    (
                        sys.executable,
                        "-c",
                        lines[cell.variant].format(folder=tmp_path, cell=cell.name),
                    ),
                    {},
                    tmp_path / f"{cell.name}.txt",
                )
                for cell in left
            ]

        monkeypatch.setattr(side_by_side, "tasks", made)
        return engine(toy_study.study(), tmp_path, TWO, lambda fraction, text: None)

    return carry


def two_at_once():
    return on_cores(Asked("toy"), workers=2, threads=1)


def test_a_cell_is_the_command_for_it_alone_and_cells_of_one_seed_are_not_begun_together(tmp_path):
    made = tasks(Asked("toy", ("seeds=[0,1]",)), tmp_path, list(cells(toy_study.study(seeds=(0, 1)))), 3)
    assert [task.cell.name for task in made[:3]] == ["base-seed0", "base-seed1", "planted-seed0"]
    words = (
        "-m",
        "ups",
        "study",
        "toy",
        "seeds=[0,1]",
        "--out",
        str(tmp_path.resolve()),
        "--only",
        "base-seed0",
    )
    assert made[0].command[1:] == words
    assert made[0].environment["OMP_NUM_THREADS"] == "3"


def test_cells_run_at_once(scripted, tmp_path):
    meet = (
        "import pathlib, time\npathlib.Path('{folder}/here-{cell}').touch()\n"
        "while len(list(pathlib.Path('{folder}').glob('here-*'))) < 2: time.sleep(.01)"
    )
    assert {ended.cell for ended in scripted(two_at_once(), base=meet, planted=meet)} == set(TWO)


def test_one_that_failed_says_why_and_the_others_go_on(scripted, tmp_path):
    (tmp_path / "base-seed0").mkdir()
    (tmp_path / "base-seed0" / FAILED).write_text(json.dumps({"reason": "it diverged"}))
    failing = scripted(two_at_once(), base="raise SystemExit(2)", planted="pass")
    assert set(failing) == {Ended(TWO[0], "it diverged"), Ended(TWO[1], "")}


def test_one_that_is_killed_is_begun_again(scripted):
    found = scripted(two_at_once(), base=KILLS_ITSELF_ONCE, planted="pass")
    assert {ended.reason for ended in found} == {""}


def test_one_that_is_killed_every_time_is_told_of(scripted):
    kills = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(UserError, match=r"base-seed0: killed by SIGKILL 3 times.*--workers"):
        list(scripted(two_at_once(), base=kills, planted="pass"))


def test_a_fault_of_ours_is_told_with_its_last_line(scripted):
    with pytest.raises(RuntimeError, match=r"base-seed0: ZeroDivisionError.*all of it is in"):
        list(scripted(two_at_once(), base="1 / 0", planted="import time; time.sleep(30)"))


def test_who_stops_listening_stops_the_cells_with_a_signal_that_they_can_answer(scripted, tmp_path):
    answers = (
        "import pathlib, signal, time\n"
        "def answer(*_): pathlib.Path('{folder}/saved-{cell}').touch(); raise SystemExit(1)\n"
        "signal.signal(signal.SIGTERM, answer); pathlib.Path('{folder}/ready').touch(); time.sleep(60)"
    )
    waits = "import pathlib, time\nwhile not pathlib.Path('{folder}/ready').exists(): time.sleep(.01)"
    running = scripted(two_at_once(), base=answers, planted=waits)
    assert next(running).cell == TWO[1]
    running.close()
    assert (tmp_path / "saved-base-seed0").exists()


def test_cells_do_not_outlive_an_engine_that_is_killed(tmp_path):
    cell = (
        f"import os, pathlib, time; from ups.studies.side_by_side import end_with_the_parent; end_with_the_parent(); "
        f"pathlib.Path('{tmp_path}/pid').write_text(str(os.getpid())); time.sleep(60)"
    )
    engine = (
        "import pathlib; from ups.studies import side_by_side as s; from ups.studies.study import Cell; "
        f"command = ({sys.executable!r}, '-c', {cell!r}); "
        f"s._start(s.Task(Cell('a', 0), command, {{}}, pathlib.Path('{tmp_path}/log'))).wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", engine])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    process.kill()
    process.wait()
    number = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not _alive(number):
            return
        time.sleep(0.05)
    pytest.fail("the cell goes on")


def _alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_ray_runs_cells_and_one_whose_worker_is_killed_again(scripted, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    kills_its_worker = KILLS_ITSELF_ONCE.replace("os.getpid()", "os.getppid()")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    try:
        found = scripted(on_ray(Asked("toy"), threads=1), base=kills_its_worker, planted="pass")
        assert set(found) == {Ended(TWO[0], ""), Ended(TWO[1], "")}
        assert (tmp_path / "killed-base-seed0").exists()
    finally:
        ray.shutdown()


def test_an_engine_is_chosen_by_name_and_number():
    study = toy_study.study()
    assert choose("local", Asked("toy"), study, workers=1) == (None, 1)
    engine, at_once = choose("local", Asked("toy"), study, workers=2)
    assert engine is not None
    assert at_once == 2
    with pytest.raises(UserError, match="local or ray"):
        choose("slurm", Asked("toy"), study)
