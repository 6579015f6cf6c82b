import h5py
import numpy as np
from data_files import burgers, on_plane, values, write

from ups.data import layout
from ups.data.inspect import inspect as inspect_layout
from ups.data.pdebench import write_pdebench
from ups.data.pdebench_layout import read_pdebench


def inspect(path):
    return inspect_layout(read_pdebench(path))


def planted(path, data):
    return write(path, {"tensor": data}, {"Nu": 0.1})


def test_the_summary_agrees_with_numpy_and_leaves_bad_values_out(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "BLOCK_BYTES", 1.0)
    data = values()[:, :, 0]
    summary = inspect(planted(tmp_path / "a.h5", data))
    for label, part in (("u", data), ("u first frame", data[:, 0]), ("u last frame", data[:, -1])):
        expected = f"{part.min():.4g} to {part.max():.4g}, mean {part.mean():.4g}, std {part.std():.4g}"
        assert summary[label] == expected + (", conserved" if label == "u" else "")
    assert summary["parameter nu"] == "0.1"
    assert summary["axis x"] == "[0, 1], 16 cells"
    assert summary["boundaries"] == "a periodic line"
    assert summary["equation"] == "burgers"
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


def test_a_plane_is_described_with_its_boundaries_units_and_vectors(tmp_path):
    data = on_plane()
    write_pdebench(path := tmp_path / "a.h5", data.values, data.fields, data.params, constants=data.constants)
    summary = inspect(path)
    assert summary["equation"] == "unknown"
    assert summary["cells"] == "6 x 4"
    assert summary["axis x"] == "[-1.5, 1.5] m, 6 cells"
    assert summary["boundaries"] == "x periodic, y wall to open"
    assert summary["frames"] == "5, dt 0.5 s, 6 times from 0"
    part = data.values[:, :, 0].numpy()
    expected = f"{part.min():.4g} to {part.max():.4g}, mean {part.mean():.4g}, std {part.std():.4g}"
    assert summary["density"] == f"{expected}, unit kg/m3, conserved, positive"
    assert summary["velocity_y"].endswith(", unit m/s, y of the vector velocity")
    assert summary["parameter kappa"] == "0.25"
    assert summary["constant depth"] == f"{data.constants.min():.4g} to {data.constants.max():.4g}"


def test_what_is_not_known_is_asked_for(tmp_path):
    summary = inspect(write(tmp_path / "a.h5", {"tensor": values()[:, :, 0]}))
    assert summary["boundaries"].startswith("what holds at the ends of x is not recorded; give boundary=")
