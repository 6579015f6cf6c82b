import h5py
import numpy as np
import pytest
import torch
from data_files import FIELDS, FULL, STRIDED, needs_real, on_plane, trajectory, values, write

from ups.data import layout
from ups.data.check import Finding
from ups.data.check import check as check_sources
from ups.data.pdebench import PDEBench, write_pdebench
from ups.types import Trajectory, UserError


def conserving(num=6, seed=0):
    """Random values whose mean does not change from frame to frame."""
    data = values(num=num, seed=seed)[:, :, 0]
    return data - data.mean(-1, keepdims=True) + 0.1


def check(sources, **options):
    """Check files by their paths."""
    sources = [one if isinstance(one, Trajectory) else PDEBench(file=one) for one in sources]
    return check_sources(sources, **options)


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


def test_a_plane_is_checked_cell_by_cell_and_asked_for_its_boundaries(tmp_path):
    data = on_plane()
    data.values[:, :, 0] = data.values[:, :1, 0]  # the density is conserved
    data.values[3, 2, 1] = 7.0
    data.values[1, 4, 2, 5, 0] = torch.nan
    data.constants[0, 0, 0, 0] = torch.inf
    write_pdebench(path := tmp_path / "a.h5", data.values, data.fields, data.params, constants=data.constants)
    found = {finding.what for finding in check([path])}
    assert found == {
        "NaN or Inf in a constant field",
        "NaN or Inf in 1 frames, first trajectory 1 frame 4 (trajectories 1)",
        "constant in space: 1 frames, first trajectory 3 frame 2 (trajectories 3)",
    }
    data.values[4, 3, 0] += 1.0
    assert any("drifts in 1 trajectories" in finding.what for finding in check([data]))
    (finding,) = check([write(tmp_path / "b.h5", {"tensor": conserving()})])
    assert (finding.severity, finding.what.startswith("what holds at the ends of x")) == ("warning", True)


@needs_real
def test_pdebenchs_own_files_are_sound_and_share_their_beginnings():
    assert check([STRIDED]) == []
    (finding,) = check([FULL, FULL])
    assert finding.severity == "note"
    assert finding.what.startswith("12 initial conditions")


def test_initial_conditions_that_are_frames_in_disguise_are_found_in_one_file_and_across_files(tmp_path):
    data, other = conserving(num=6), conserving(num=3, seed=1)
    data[4] = np.roll(data[1], 3, -1)
    (finding,) = check([planted(tmp_path / "a.h5", data)])
    assert finding.severity == "warning"
    assert finding.what.startswith(
        "2 initial conditions are a frame of another trajectory in it, moved, mirrored"
    )
    assert finding.what.endswith("first 1 from 4 there")
    data[4] = conserving(num=1, seed=2)
    other[2, 0] = data[3, 2, ::-1] * (1 + 1e-6)
    (finding,) = check([planted(tmp_path / "a.h5", data), planted(tmp_path / "b.h5", other)])
    assert finding.where == str(tmp_path / "b.h5")
    assert "1 initial conditions are a frame of a trajectory in" in finding.what
    assert finding.what.endswith("first 2 from 3 there")
