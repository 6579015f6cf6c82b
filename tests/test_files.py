import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ups.files import (
    file_digest,
    final_name,
    made_whole,
    require_home,
    require_output,
    require_place,
    sealed,
    unsealed,
    written_whole,
)
from ups.types import UserError


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "deep" / "file"
    with written_whole(target) as temporary:
        temporary.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half(target)
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def write_half(target):
    with written_whole(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_a_folder_takes_the_place_of_the_old_one_or_vanishes(tmp_path):
    target = tmp_path / "folder"
    for text in ("old", "new"):
        with made_whole(target) as temporary:
            (temporary / text).touch()
            assert not (target / text).exists()
    with pytest.raises(KeyboardInterrupt):
        make_half(target)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def make_half(target):
    with made_whole(target) as temporary:
        (temporary / "half").touch()
        raise KeyboardInterrupt


def test_what_a_killed_process_left_is_swept_and_what_a_live_one_writes_is_not(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    here, target = socket.gethostname(), tmp_path / "file"
    left, live = (tmp_path / f".file.new.{here}.{number}" for number in (killed.pid, os.getppid()))
    others = [
        tmp_path / f".file.new.elsewhere.{killed.pid}",
        tmp_path / f".file2.new.{here}.{killed.pid}",
        live,
    ]
    for path in (left, *others):
        path.touch()
    with written_whole(target) as temporary:
        temporary.touch()
    assert sorted(tmp_path.iterdir()) == sorted([target, *others])


def test_a_seal_shows_any_change(tmp_path):
    text, path = sealed({"a": 1.5, "b": [None, {"c": "é"}]}), tmp_path / "x.json"
    assert unsealed(text, path) == {"a": 1.5, "b": [None, {"c": "é"}]}
    assert unsealed('{"a": 1}', path) == {"a": 1}, "a file that somebody wrote by hand"
    for changed in (
        text.replace("1.5", "1.25"),
        text.replace('"a"', '"d"'),
        text[:-3],
        "[]",
        "null",
        "[" * 10**5,
    ):
        with pytest.raises(UserError, match="damaged"):
            unsealed(changed, path)


def test_no_output_is_an_input_a_part_of_a_run_a_link_a_device_or_in_the_way(tmp_path):
    given, link = tmp_path / "in.h5", tmp_path / "link.h5"
    given.touch()
    link.symlink_to(given)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    (tmp_path / "run" / "stages").mkdir()
    forbidden = {
        "is the input": given,
        "is no plain file": link,
        "which holds run.json": tmp_path / "run" / "run.json",
        "holds run.json": tmp_path / "run" / "stages" / "new.h5",
        "no folder": tmp_path / "nowhere" / "new.h5",
        "cannot be written: File name too long": tmp_path / ("x" * 300),
    }
    for said, path in forbidden.items():
        with pytest.raises(UserError, match=said):
            require_output(path, [given], force=True)
    with pytest.raises(UserError, match="no plain file"):
        require_output(Path("/dev/null"), force=True)
    with pytest.raises(UserError, match="exists; --force"):
        require_output(given)
    require_output(given, force=True)
    require_output(tmp_path / "new.h5", [given])


def test_a_folder_of_the_users_own_is_no_home(tmp_path):
    require_home(tmp_path / "new" / "deep", ("run.json",))
    require_home(tmp_path, ("run.json",))
    (tmp_path / ".lock").touch()
    require_home(tmp_path, ("run.json",))
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds other things than run\.json"):
        require_home(tmp_path, ("run.json",))
    (tmp_path / "run.json").touch()
    require_home(tmp_path, ("run.json",))
    with pytest.raises(UserError, match="is a file"):
        require_home(tmp_path / "thesis.tex", ("run.json",))
    with pytest.raises(UserError, match="is no folder"):
        require_place(tmp_path / "thesis.tex" / "run")


def test_a_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf")


def test_a_folder_that_is_being_made_has_the_name_that_it_will_have(tmp_path):
    target = tmp_path / "again.new"
    with made_whole(target) as temporary:
        assert temporary.name != "again.new"
        assert final_name(temporary) == "again.new"
    assert final_name(target) == "again.new"
    assert final_name(tmp_path / ".hidden") == ".hidden"
