import json
import shutil

import numpy as np
import pytest

from toy_study import finish, study
from ups import record
from ups.evaluation.rows import trajectory_scores
from ups.studies.board import collect
from ups.studies.verdicts import UNKNOWN
from ups.types import UserError


@pytest.fixture
def shelf(tmp_path, tiny_run, kicked_run, tiny_image_run):
    """A folder with two copies of one run, a run of other data and one of images."""
    for name, run in (
        ("a/one", tiny_run),
        ("a/two", tiny_run),
        ("kicked", kicked_run),
        ("images", tiny_image_run),
    ):
        shutil.copytree(run, tmp_path / "shelf" / name)
    return tmp_path / "shelf"


def test_rungs_meet_where_they_were_asked_the_same_on_the_same_trajectories(shelf):
    board = collect([shelf])
    assert [line.path.name for line in board.runs] == ["one", "two", "images", "kicked"]
    assert not board.left_out
    for each in board.leaderboards:
        runs = {entry.run.name for entry in each.entries}
        assert runs in ({"one", "two"}, {"kicked"})
    shared = next(each for each in board.leaderboards if len({entry.run for entry in each.entries}) == 2)
    assert "advection speed = " in shared.data
    assert "32 cells, 14 frames" in shared.data


def test_rungs_that_were_tested_on_other_trajectories_do_not_meet(shelf):
    two = shelf / "a" / "two"
    (two / record.TESTED).write_text(json.dumps(["another"]))
    record.write(two, record.read(two))
    for each in collect([shelf]).leaderboards:
        assert len({entry.run for entry in each.entries}) == 1


def test_the_best_come_first_with_the_numbers_of_their_rows(shelf):
    board = collect([shelf])
    each = next(each for each in board.leaderboards if each.entries[0].run.name == "kicked")
    scores = trajectory_scores(shelf / "kicked" / "rows.parquet", each.protocol.name, each.protocol.metric)
    means = [entry.error.mean for entry in each.entries]
    assert means == sorted(means)
    assert {entry.rung for entry in each.entries} == set(scores)
    for entry in each.entries:
        assert entry.error.mean == pytest.approx(scores[entry.rung].mean())
        assert entry.error.low <= entry.error.mean <= entry.error.high
    ours = next(entry for entry in each.entries if entry.rung == "corrector")
    assert (ours.num_members, ours.kind) == (3, "ours")
    assert ours.ms_per_frame > 0
    made = record.read(shelf / "kicked")  # a corrector costs what it stands on, too
    assert ours.seconds == pytest.approx(made.stages["operator"].seconds + made.stages["corrector"].seconds)


def test_the_best_are_drawn_and_a_reference_that_squeezes_them_is_not(shelf):
    leaderboards = collect([shelf]).leaderboards
    for each in leaderboards:
        drawn = {trace.name.partition(" of ")[0] for trace in each.time.traces} if each.time else set()
        assert "codec ceiling" not in drawn
        assert drawn <= {entry.rung for entry in each.entries}
        known = [entry for entry in each.entries if entry.ms_per_frame > 0 and entry.kind != "reference"]
        assert len(each.cost.marks) >= len([entry for entry in known if 0 < entry.error.mean < np.inf])
    first = next(each for each in leaderboards if each.entries[0].run.name == "kicked")
    assert {"corrector", "operator"} <= {trace.name for trace in first.time.traces}


def test_a_forecast_that_blew_up_is_last_and_a_long_board_ends(shelf, monkeypatch):
    from ups.studies import board

    whole = collect([shelf]).leaderboards[0]
    monkeypatch.setattr(board, "MOST_SHOWN", 2)
    short = collect([shelf]).leaderboards[0]
    assert short.entries == whole.entries[:2]
    assert short.num_left == len(whole.entries) - 2
    scored = [
        board._Scored(board.Entry(shelf, name, "ours", UNKNOWN, 1, 1.0, 1.0, ""), np.array(values))
        for name, values in (("blown", [0.0, np.inf]), ("poor", [5.0, 5.0]), ("good", [1.0, 2.0]))
    ]
    made = board._leaderboard(whole.protocol, "", scored)
    assert [entry.rung for entry in made.entries] == ["good", "poor"]


def test_what_is_damaged_unfinished_or_nothing_is_named_and_left_out(shelf):
    rows = shelf / "a" / "one" / "rows.parquet"
    content = bytearray(rows.read_bytes())
    content[200] ^= 1
    rows.write_bytes(content)
    (shelf / "broken").mkdir()
    (shelf / "broken" / "run.json").write_text("{")
    (shelf / "empty").mkdir()
    (shelf / "loop").symlink_to(shelf)
    board = collect([shelf])
    assert len(board.left_out) == 2
    assert any("rows.parquet: missing or damaged" in line for line in board.left_out)
    assert any("broken" in line for line in board.left_out)
    assert {entry.run.name for each in board.leaderboards for entry in each.entries} == {"two", "kicked"}


def test_a_study_stands_there_with_its_verdicts_and_its_runs(tmp_path):
    finish(study(), tmp_path / "my_study")
    board = collect([tmp_path])
    (line,) = board.studies
    assert line.path == tmp_path / "my_study"
    assert line.question == study().question
    assert any(answer.startswith("planted: better by") for answer in line.answers)
    assert len(board.runs) + len(board.left_out) == len(list((tmp_path / "my_study").glob("*-seed*")))


def test_no_folder_and_nothing_in_it_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        collect([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no run and no study here"):
        collect([tmp_path])
