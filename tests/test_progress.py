import ups.progress
from ups.progress import bar


def test_a_log_file_gets_lines_with_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 40.0, 50.0, 80.0])
    monkeypatch.setattr(ups.progress.time, "monotonic", lambda: next(clock))
    with bar("training") as progress:
        progress(0.1, "loss 3")  # at 10 s: too early for a line
        progress(0.5, "loss 2")  # at 40 s
        progress(0.6, "loss 1")  # at 50 s: too early for another
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 50%, 40 s left  loss 2", "training: done in 80.0 s  loss 1"]


def test_nothing_is_written_to_standard_output(capsys):
    with bar("work") as progress:
        progress(1.0)
    assert capsys.readouterr().out == ""
