import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from data_files import burgers, dam_break, on_plane, write
from data_files import values as random_values

from messages import is_one_line_about
from ups.data.pdebench import PDEBench, write_pdebench
from ups.types import UserError


def plane_file(path, data=None):
    data = data or on_plane()
    write_pdebench(path, data.values, data.fields, data.params, constants=data.constants)
    return path


def test_strides_keep_every_nth_cell_and_frame_of_the_same_domain(tmp_path):
    path = burgers(tmp_path / "burgers.h5", frames=11)
    full = PDEBench(file=path).load()
    data = PDEBench(file=path, stride_space=4, stride_time=5, num_trajectories=4).load()
    assert torch.equal(data.values, full.values[:4, ::5, :, ::4])
    assert data.fields.grid.extent == full.fields.grid.extent == (1.0,)
    assert data.fields.dt == 0.05
    first = data.fields.grid.origin[0] + data.fields.grid.extent[0] / data.values.shape[-1] / 2
    assert first == pytest.approx(0.5 / 16, abs=1e-6)  # where the first cell was, it still is


def test_each_axis_has_its_own_stride_and_constants_follow(tmp_path):
    data = on_plane()
    again = PDEBench(file=plane_file(tmp_path / "a.h5"), stride_space=(3, 2), stride_time=2).load()
    assert torch.equal(again.values, data.values[:, ::2, :, ::3, ::2])
    assert torch.equal(again.constants, data.constants[..., ::3, ::2])
    x, y = again.fields.grid.axes
    assert (x.cells, y.cells) == (2, 2)
    for axis, before in zip((x, y), data.fields.grid.axes, strict=True):
        assert (axis.low, axis.high, axis.unit) == (before.low, before.high, before.unit)
        assert axis.centres()[0] == pytest.approx(before.centres()[0].item(), abs=1e-5)


def test_values_of_groups_beyond_the_limit_are_mapped_alike(tmp_path):
    settings = PDEBench(file=dam_break(tmp_path / "2D_rdb_NA_NA.h5"), stride_space=2)
    mapped = settings.model_copy(update={"max_memory_gb": 1e-7})
    assert torch.equal(mapped.load(cache_dir=tmp_path / "cache").values, settings.load().values)


def test_several_files_are_joined_with_their_own_parameters(tmp_path):
    files = tuple(burgers(tmp_path / f"{nu}.h5", nu=nu, seed=i) for i, nu in enumerate((0.1, 0.2)))
    data = PDEBench(file=files, num_trajectories=3).load()
    assert data.params[:, 0].tolist() == pytest.approx([0.1] * 3 + [0.2] * 3)
    for index, file in enumerate(files):
        alone = PDEBench(file=file, num_trajectories=3).load()
        assert torch.equal(data.values[3 * index : 3 * index + 3], alone.values)


def test_progress_rises_to_one(tmp_path):
    seen = []
    files = tuple(burgers(tmp_path / f"{i}.h5", seed=i) for i in range(3))
    PDEBench(file=files).load(progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_values_beyond_the_limit_are_mapped_from_a_file_that_is_reused_and_replaced(tmp_path):
    path, cache = burgers(tmp_path / "burgers.h5", frames=11), tmp_path / "cache"
    settings = PDEBench(file=path, stride_time=2)
    expected = settings.load()
    mapped = settings.model_copy(update={"max_memory_gb": 1e-7})
    data = mapped.load(cache_dir=cache)
    assert torch.equal(data.values, expected.values)
    (file,) = (cache / "pdebench").iterdir()
    assert file.stat().st_size == 4 * expected.values.numel()

    file_time = file.stat().st_mtime_ns
    data.values.zero_()  # private to this process
    assert torch.equal(mapped.load(cache_dir=cache).values, expected.values)
    assert file.stat().st_mtime_ns == file_time

    burgers(path, frames=11, seed=7)
    assert torch.equal(mapped.load(cache_dir=cache).values, settings.load().values)
    assert [other for other in (cache / "pdebench").iterdir() if other != file]
    assert len(list((cache / "pdebench").iterdir())) == 1


def _bad_value(folder):
    data = random_values()
    data[3, 4, 0, 2] = np.nan
    data[5, 0, 0, 0] = np.inf
    return {
        "file": write(folder / "a.h5", {"tensor": data[:, :, 0]}, {"Nu": 1.0}),
        "stride_time": 2,
    }, "trajectory 3, frame 4"


def _too_many(folder):
    return {"file": burgers(folder / "a.h5"), "num_trajectories": 7}, "has 6 trajectories, 7 are asked for"


def _stride_does_not_divide(folder):
    return {"file": burgers(folder / "a.h5"), "stride_space": 3}, "stride_space=3 does not divide 16"


def _stride_leaves_one_frame(folder):
    return {"file": burgers(folder / "a.h5"), "stride_time": 5}, "stride_time=5 leaves one of 5 frames"


def _uneven_time(folder):
    path = burgers(folder / "a.h5")
    with h5py.File(path, "a") as file:
        file["t-coordinate"][3] += 0.004
    return {"file": path}, "not equally far apart in time"


def _other_cells(folder):
    return {"file": (burgers(folder / "b.h5"), burgers(folder / "a.h5", cells=32))}, "cells differ from"


def _other_dt(folder):
    other = write(folder / "a.h5", {"tensor": random_values()[:, :, 0]}, {"Nu": 1.0}, dt=0.02)
    return {"file": (burgers(folder / "b.h5"), other)}, "dt differs from"


def _other_domain(folder):
    other = write(folder / "a.h5", {"tensor": random_values()[:, :, 0]}, {"Nu": 1.0}, extent=2.0)
    return {"file": (burgers(folder / "b.h5"), other)}, "the length of the domain differs from"


def _other_equation(folder):
    other = write(folder / "a.h5", {"tensor": random_values()[:, :, 0]}, {"beta": 1.0})
    return {"file": (burgers(folder / "b.h5"), other)}, "parameters differ from"


def _strides_of_other_axes(folder):
    return {
        "file": plane_file(folder / "a.h5"),
        "stride_space": [1, 2, 1],
    }, "stride_space=[1, 2, 1] for 2 axes"


def _unknown_boundary(folder):
    return {"file": write(folder / "a.h5", {"tensor": random_values()[:, :, 0]})}, "boundary=periodic"


def _boundary_of_no_axis(folder):
    return {"file": burgers(folder / "a.h5"), "boundary": {"y": "wall"}}, "boundary of y, but the axes are x"


def _mask(folder):
    data = random_values()
    data[..., 3:7] = np.nan
    return {
        "file": write(folder / "a.h5", {"tensor": data[:, :, 0]}, {"Nu": 1.0})
    }, "same 4 cells are NaN in every frame"


def _too_large_for_float32(folder):
    data = random_values().astype(np.float64)
    data[2, 1] = 1e300
    return {"file": write(folder / "a.h5", {"tensor": data[:, :, 0]}, {"Nu": 1.0})}, "trajectory 2, frame 1"


def _other_second_axis(folder):
    data = on_plane()
    x, y = data.fields.grid.axes
    other = replace(data.fields, grid=replace(data.fields.grid, axes=(x, replace(y, extent=9.0))))
    plane_file(folder / "a.h5", replace(data, fields=other))
    return {"file": (plane_file(folder / "b.h5"), folder / "a.h5")}, "the length of the domain differs"


FAULTS = [
    _strides_of_other_axes,
    _unknown_boundary,
    _boundary_of_no_axis,
    _mask,
    _too_large_for_float32,
    _other_second_axis,
    _bad_value,
    _too_many,
    _stride_does_not_divide,
    _stride_leaves_one_frame,
    _uneven_time,
    _other_cells,
    _other_dt,
    _other_domain,
    _other_equation,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_is_told_in_one_line_that_names_the_file(tmp_path, plant):
    settings, expected = plant(tmp_path)
    with pytest.raises(UserError) as error:
        PDEBench(**settings).load()
    assert is_one_line_about(error, tmp_path / "a.h5")
    assert expected in str(error.value)


def test_no_file_at_all_says_which_setting_to_give():
    with pytest.raises(UserError, match=r"data\.file=PATH"):
        PDEBench().load()


READ = """
import resource, sys, threading, time
import torch
from pathlib import Path
from ups.data.pdebench import PDEBench

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

peak, done = resident(), False
def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.001)
PDEBench(file=sys.argv[1], num_trajectories=2).load()
before = resident()
thread = threading.Thread(target=watch)
thread.start()
values = PDEBench(file=sys.argv[1], stride_space=4, stride_time=5).load().values
done = True
thread.join()
assert values.shape == (750, 41, 1, 256)
print((peak - before - 4 * values.numel()) / 1e6)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
def test_reading_needs_the_result_and_a_few_blocks_not_the_file(tmp_path):
    path = tmp_path / "1D_Burgers_Sols_Nu0.1.hdf5"
    with h5py.File(path, "w") as file:
        tensor = file.create_dataset("tensor", (750, 201, 1024), np.float32)  # 617 MB
        for start in range(0, 750, 50):
            tensor[start : start + 50] = start
        file["x-coordinate"] = ((np.arange(1024) + 0.5) / 1024).astype(np.float32)
        file["t-coordinate"] = (0.01 * np.arange(202)).astype(np.float32)
    result = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
    path.unlink()
    assert float(result.stdout) < 150
