import json

import pytest

from ups import record
from ups.config import Settings
from ups.types import UserError


class Inner(Settings):
    rate: float = 0.1


class Run(Settings):
    seed: int = 0
    inner: Inner = Inner()


def test_the_record_of_equal_settings_is_gone_on_with(tmp_path):
    first = record.begin(tmp_path, Run())
    assert record.begin(tmp_path, Run()) == first
    assert first["settings"] == {"seed": 0, "inner": {"rate": 0.1}}
    assert first["versions"]["torch"]
    assert first["machine"]["threads"] >= 1


def test_other_settings_are_refused_and_named(tmp_path):
    record.begin(tmp_path, Run())
    with pytest.raises(UserError, match=r"other settings \(inner\.rate: 0\.1 -> 0\.2, seed: 0 -> 1\)"):
        record.begin(tmp_path, Run(seed=1, inner=Inner(rate=0.2)))


def test_a_folder_without_a_record_is_no_run(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        record.read(tmp_path)
    (tmp_path / record.NAME).write_text("{")
    with pytest.raises(UserError, match="damaged"):
        record.read(tmp_path)


def test_the_record_is_replaced_in_one_step(tmp_path):
    record.write(tmp_path, {"a": 1})
    record.write(tmp_path, {"a": 2})
    assert json.loads((tmp_path / record.NAME).read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == [record.NAME]
