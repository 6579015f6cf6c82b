import pytest

from ups.files import written_whole


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
