import torch
from safetensors.torch import save_file

from ups.data.cache import cache_folder, cached


def test_the_folder_is_the_chosen_one_then_the_environment_then_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("UPS_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "ups"
    monkeypatch.setenv("UPS_CACHE", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "b"
    assert cache_folder(tmp_path / "c") == tmp_path / "c"


def test_what_is_cached_is_made_once_and_made_again_when_harmed(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"a": torch.arange(6.0), "b": torch.ones(2)}

    path = tmp_path / "folder" / "file.safetensors"
    for _ in range(2):
        found = cached(path, make)
        assert torch.equal(found["a"], torch.arange(6.0))
        assert found.keys() == {"a", "b"}
    assert len(made) == 1
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert torch.equal(cached(path, make)["b"], torch.ones(2))
    assert len(made) == 2
    assert path.read_bytes() == good


def test_a_file_without_its_checksum_is_not_trusted(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "file.safetensors")
    assert torch.equal(
        cached(tmp_path / "file.safetensors", lambda: {"a": torch.ones(3)})["a"], torch.ones(3)
    )
