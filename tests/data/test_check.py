import h5py
import numpy as np
import pytest
import torch
from data_files import FIELDS, FULL, STRIDED, burgers, needs_real, trajectory, values, write

from ups.data import layout
from ups.data.check import Finding, check, inspect
from ups.types import Trajectory, UserError


def conserving(num=6, seed=0):
    """Random values whose mean does not change from frame to frame."""
    data = values(num=num, seed=seed)[:, :, 0]
    return data - data.mean(-1, keepdims=True) + 0.1


def planted(path, data):
    return write(path, {"tensor": data}, {"Nu": 0.1})


def test_good_data_have_no_findings(tmp_path):
    assert check([planted(tmp_path / "a.h5", conserving())]) == []


def test_bad_values_are_an_error_with_their_first_place(tmp_path):
    data = conserving()
    data[2, 3, 5], data[4, 0, 0], data[4, 1, 0] = np.nan, np.inf, np.nan
    (finding,) = check([planted(tmp_path / "a.h5", data)])
    assert finding == Finding(
        "error",
        str(tmp_path / "a.h5"),
        "NaN or Inf in 3 frames, first trajectory 2 frame 3 (trajectories 2, 4)",
    )


def test_constant_frames_are_found(tmp_path):
    data = conserving()
    data[1, 4] = 0.1
    (finding,) = check([planted(tmp_path / "a.h5", data)])
    assert (finding.severity, "1 frames, first trajectory 1 frame 4" in finding.what) == ("warning", True)


def test_lost_mass_is_found_and_only_beyond_the_tolerance(tmp_path):
    data = conserving()
    data[3, 2] += 0.1
    path = planted(tmp_path / "a.h5", data)
    (finding,) = check([path])
    assert finding.severity == "warning"
    assert "mean of u should be conserved but drifts in 1 trajectories" in finding.what
    assert "(trajectory 3)" in finding.what
    assert check([path], tolerance=1.0) == []


def test_repeats_within_a_file_are_a_warning_and_across_files_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "BLOCK_BYTES", 1.0)  # one trajectory a block: repeats are found across blocks
    one, two = conserving(), conserving(seed=1)
    one[5, 0] = one[2, 0]
    two[4, 0], two[1, 0] = one[3, 0], one[0, 0]
    first, second = planted(tmp_path / "a.h5", one), planted(tmp_path / "b.h5", two)
    within, across = check([first, second])
    assert (within.severity, within.where) == ("warning", str(first))
    assert "1 initial conditions also stand earlier in it, first 5 = 2" in within.what
    assert (across.severity, across.where) == ("note", str(second))
    assert f"2 initial conditions also stand in {first}, first 1 = 0" in across.what


def test_uneven_time_is_an_error(tmp_path):
    path = planted(tmp_path / "a.h5", conserving())
    with h5py.File(path, "a") as file:
        file["t-coordinate"][2:] += 0.01
    (finding,) = check([path])
    assert finding.severity == "error"
    assert "0.02 after frame 1" in finding.what


def test_trajectories_in_memory_are_checked_too():
    data = trajectory(num=130)
    data.values[129, 1, 0, 3] = torch.nan
    both = Trajectory(data.values, data.params, FIELDS)
    (error, *_) = check([both])
    assert "first trajectory 129 frame 1" in error.what


def test_a_missing_file_is_the_users_fault(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        check([tmp_path / "a.h5"])
    with pytest.raises(UserError, match="no such file"):
        inspect(tmp_path / "a.h5")


def test_the_summary_agrees_with_numpy_and_leaves_bad_values_out(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "BLOCK_BYTES", 1.0)
    data = values()[:, :, 0]
    summary = inspect(planted(tmp_path / "a.h5", data))
    for label, part in (("u", data), ("u first frame", data[:, 0]), ("u last frame", data[:, -1])):
        expected = f"{part.min():.4g} to {part.max():.4g}, mean {part.mean():.4g}, std {part.std():.4g}"
        assert summary[label] == expected
    assert summary["parameter nu"] == "0.1"
    assert summary["cells"] == "16 on [0, 1], periodic"
    assert "NaN or Inf" not in summary
    data[0, 0, 0] = np.nan
    again = inspect(planted(tmp_path / "b.h5", data))
    assert again["NaN or Inf"].startswith("1 values")
    assert "nan" not in again["u"]


def test_the_summary_lists_many_parameters_shortly(tmp_path):
    path = burgers(tmp_path / "burgers.h5", num=20)
    with h5py.File(path, "a") as file:
        file["Nu"] = np.linspace(0.1, 2, 20)
    assert inspect(path)["parameter nu"] == "0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8 ..."


@needs_real
def test_pdebenchs_own_files_are_sound_and_share_their_beginnings():
    assert check([STRIDED]) == []
    (finding,) = check([FULL, FULL])
    assert finding.severity == "note"
    assert finding.what.startswith("12 initial conditions")
