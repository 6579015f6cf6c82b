import pytest

from ups.data.cache import cache_folder, written_whole


def test_the_folder_is_the_chosen_one_then_the_environment_then_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("UPS_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "ups"
    monkeypatch.setenv("UPS_CACHE", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "b"
    assert cache_folder(tmp_path / "c") == tmp_path / "c"


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
