from ups.data.cache import cache_folder


def test_the_folder_is_the_chosen_one_then_the_environment_then_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("UPS_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "ups"
    monkeypatch.setenv("UPS_CACHE", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "b"
    assert cache_folder(tmp_path / "c") == tmp_path / "c"
