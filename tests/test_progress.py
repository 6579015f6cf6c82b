import ups.progress
from ups.progress import bar


def test_a_log_file_gets_lines_with_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 40.0, 50.0, 80.0])
    monkeypatch.setattr(ups.progress.time, "monotonic", lambda: next(clock))
    with bar("training") as progress:
        progress(0.1, "loss 3")  # at 10 s: too early for a line, resumed perhaps
        progress(0.4, "loss 2")  # at 40 s: 30 % in 30 s
        progress(0.6, "loss 1")  # at 50 s: too early for another
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training: 40%, 60 s left  loss 2", "training: done in 80.0 s  loss 1"]


def test_no_time_is_given_before_the_speed_is_known(capsys, monkeypatch):
    clock = iter([0.0, 40.0, 40.0])
    monkeypatch.setattr(ups.progress.time, "monotonic", lambda: next(clock))
    with bar("training") as progress:
        progress(0.5, "loss 2")
    assert capsys.readouterr().err.splitlines()[0] == "training: 50%  loss 2"


def test_nothing_is_written_to_standard_output(capsys):
    with bar("work") as progress:
        progress(1.0)
    assert capsys.readouterr().out == ""
