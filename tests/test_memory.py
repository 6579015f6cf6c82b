import pytest

from ups import memory
from ups.types import UserError


def test_more_memory_than_there_is_is_refused_before_it_is_taken():
    memory.require(1e6, "a little", "fewer")
    assert 1e8 < memory.available() < 1e14
    with pytest.raises(UserError, match=r"all of it needs 1e\+06 GB of memory, .* GB are free: fewer"):
        memory.require(1e15, "all of it", "fewer")


def test_a_container_may_hold_less_than_its_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    of_machine = memory.available()
    (tmp_path / "memory.current").write_text("3000000\n")
    for limit, found in (("max\n", None), ("5000000\n", 2e6), ("", None)):
        (tmp_path / "memory.max").write_text(limit)
        assert memory.available() == found or (
            found is None and abs(memory.available() / of_machine - 1) < 0.2
        )
