import json

import pytest

from ups import record
from ups.config import Settings
from ups.record import Fitted, ImageRecord, PhysicsRecord, RungRecord
from ups.types import UserError


class Inner(Settings):
    rate: float = 0.1


class Run(Settings):
    seed: int = 0
    inner: Inner = Inner()


def begin(folder, settings=None):
    return record.begin(folder, settings or Run(), PhysicsRecord)


def test_the_record_of_equal_settings_is_gone_on_with(tmp_path):
    first = begin(tmp_path)
    assert begin(tmp_path) == first
    assert first.settings == {"seed": 0, "inner": {"rate": 0.1}}
    assert first.versions["torch"]
    assert first.machine["threads"] >= 1


def test_other_settings_are_refused_and_named_once_training_has_begun(tmp_path):
    begin(tmp_path, Run(seed=1))
    assert begin(tmp_path).seed == 0, "a run that came to no training is in nobody's way"
    (tmp_path / "stages" / "operator").mkdir(parents=True)
    (tmp_path / "stages" / "operator" / "plan.json").touch()
    with pytest.raises(UserError, match=r"other settings \(inner\.rate: 0\.1 -> 0\.2, seed: 0 -> 1\)"):
        begin(tmp_path, Run(seed=1, inner=Inner(rate=0.2)))


@pytest.mark.parametrize(
    "content", ["{", "null", "[]", "{}", '{"bench": "weather"}', '{"bench": "physics", "x": 1}', "1e9"]
)
def test_a_folder_without_a_record_is_no_run(tmp_path, content):
    with pytest.raises(UserError, match="not a run folder"):
        record.read(tmp_path)
    (tmp_path / record.NAME).write_text(content)
    with pytest.raises(UserError) as error:
        record.read(tmp_path)
    assert str(tmp_path / record.NAME) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_written_is_read_again_as_the_kind_that_it_was(tmp_path):
    fitted = Fitted(3, 1.5, None, 0.2, None, 3, 0, 10, finding="it rises")
    made = begin(tmp_path).also(
        stages={"operator": fitted}, ladder=(RungRecord(name="operator", kind="ours", num_members=4),)
    )
    record.write(tmp_path, made)
    assert record.read(tmp_path) == made
    record.write(tmp_path, ImageRecord(settings={}, seed=1, started="now", versions={}, machine={}))
    assert record.read(tmp_path).bench == "images"


def test_a_part_of_the_wrong_kind_is_no_record(tmp_path):
    made = begin(tmp_path)
    with pytest.raises(ValueError, match="ladder"):
        made.also(ladder=[{"name": "operator"}])
    with pytest.raises(ValueError, match="truth_flor"):
        made.also(truth_flor=0.1)


def test_a_run_that_is_not_finished_is_said_to(tmp_path):
    made = begin(tmp_path)
    with pytest.raises(UserError, match="not finished"):
        record.read_finished(tmp_path)
    record.write(tmp_path, made.also(finished=record.now()))
    assert record.read_finished(tmp_path).finished


def test_the_record_is_replaced_in_one_step(tmp_path):
    made = begin(tmp_path)
    record.write(tmp_path, made.also(notes=("a",)))
    assert json.loads((tmp_path / record.NAME).read_text())["notes"] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == [record.NAME]


def test_a_record_says_which_files_it_rests_on_and_any_other_is_found(tmp_path):
    for name in ("rows.parquet", record.KNOWN, "notes.txt"):
        (tmp_path / name).write_text("as it was")
    made = begin(tmp_path)
    assert made.files == {}
    record.write(tmp_path, made)
    made = record.read(tmp_path)
    assert made.files.keys() == {"rows.parquet", record.KNOWN}
    (tmp_path / "notes.txt").write_text("changed")
    record.require_intact(tmp_path, made)
    (tmp_path / "rows.parquet").write_text("as it is.")
    with pytest.raises(UserError, match=r"rows\.parquet: missing or damaged"):
        record.require_intact(tmp_path, made)
    (tmp_path / "rows.parquet").unlink()
    with pytest.raises(UserError, match=r"rows\.parquet: missing or damaged"):
        record.require_intact(tmp_path, made)


@pytest.mark.parametrize("content", ["", "null", "{}", "[1]", "[" * 10**5, '["a"'])
def test_damaged_identities_are_one_line(tmp_path, content):
    with pytest.raises(UserError, match="No such file"):
        record.read_identities(tmp_path, record.KNOWN)
    (tmp_path / record.KNOWN).write_text(content)
    with pytest.raises(UserError, match="a list of digests is expected"):
        record.read_identities(tmp_path, record.KNOWN)
