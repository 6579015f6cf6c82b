import io
import sys
import zipfile

import h5py
import numpy as np
import pytest
from array_writers import hdf5, matlab, matlab5, netcdf, npy, npz, zarr

from messages import is_one_line_about
from ups.data.array_files import array_file
from ups.types import UserError

U = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


WRITERS = {
    "u.h5": (hdf5, "HDF5"),
    "u.mat": (matlab, "MATLAB 7.3"),
    "u.npz": (npz, "NumPy"),
    "u.npy": (npy, "NumPy"),
    "u.nc": (netcdf, "NetCDF"),
    "u3.nc": (lambda path, **arrays: netcdf(path, "scipy", **arrays), "NetCDF 3"),
    "u.zarr": (zarr, "Zarr"),
    "u5.mat": (matlab5, "MATLAB 5"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_gives_the_array_and_slices_of_it_along_any_axis(tmp_path, name):
    write, format = WRITERS[name]
    with array_file(write(tmp_path / name, u=U)) as file:
        assert file.format == format
        array = file.array("u")
        assert array.shape == U.shape
        assert array.num_bytes == 4
        assert np.array_equal(array.get(None, 0), U)
        for axis in range(3):
            assert np.array_equal(array.get(slice(1, 2), axis), np.take(U, [1], axis))


@pytest.mark.parametrize("name", [name for name in WRITERS if "npy" not in name])
def test_an_array_that_is_not_there_is_told_with_those_that_are(tmp_path, name):
    write, _ = WRITERS[name]
    path = write(tmp_path / name, u=U)
    with pytest.raises(UserError) as error, array_file(path) as file:
        file.array("velocity")
    assert is_one_line_about(error, path)
    assert "u (2, 3, 4)" in str(error.value)


def test_a_matlab_file_shows_the_axes_as_matlab_does(tmp_path):
    with array_file(matlab(tmp_path / "a.mat", u=U)) as file:
        assert list(file.arrays) == ["u"]
    with h5py.File(tmp_path / "a.mat") as file:
        assert file["u"].shape == (4, 3, 2)


def test_a_file_is_known_by_what_it_is_not_by_its_name(tmp_path):
    npz(tmp_path / "a.npz", u=U).rename(tmp_path / "a.h5")
    with array_file(tmp_path / "a.h5") as file:
        assert file.format == "NumPy"


def test_names_of_axes_come_from_the_file(tmp_path):
    path = hdf5(tmp_path / "a.h5", u=U)
    with h5py.File(path, "a") as file:
        for dim, label in zip(file["u"].dims, "stx", strict=True):
            dim.label = label
        file.attrs["nu"] = 0.5
    with array_file(path) as file:
        assert file.array("u").dims == ("s", "t", "x")
        assert file.scalar("nu") == 0.5
        assert file.scalar("mu") is None
    for writer, name in ((netcdf, "a.nc"), (zarr, "a.zarr")):
        if "xarray" in sys.modules or writer:
            with array_file(writer(tmp_path / name, u=U)) as file:
                assert file.array("u").dims == ("s", "t", "x")


def test_dates_become_seconds_packed_values_are_unpacked_and_fills_become_nan(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    values = np.array([[1.0, np.nan], [3.0, 5.0], [7.0, 9.0]])
    data = xarray.Dataset(
        {"u": (("time", "x"), values, {"units": "m/s"})},
        {"time": np.datetime64("2000-01-01T00:00:00", "ns") + np.arange(3) * np.timedelta64(90, "m")},
    )
    packed = {"u": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 2.0, "_FillValue": -99}}
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=packed)
    with array_file(tmp_path / "a.nc") as file:
        assert np.array_equal(file.array("u").get(None, 0), values, equal_nan=True)
        assert file.array("u").unit == "m/s"
        assert file.array("time").get(None, 0).tolist() == [0.0, 5400.0, 10800.0]
        assert file.array("time").unit == "s"


def refused(path, name=None):
    with pytest.raises(UserError) as error, array_file(path) as file:
        file.array(name or next(iter(file.arrays))).get(None, 0)
    assert is_one_line_about(error, path)
    assert len(str(error.value)) - len(str(path)) < 300
    return str(error.value)


@pytest.mark.parametrize("write", [npz, npy])
def test_objects_are_never_loaded(tmp_path, write):
    path = tmp_path / f"a.{write.__name__}"
    write(path, u=np.array([{"a": 1}, None], object))
    assert "object" in refused(path)


def test_what_is_no_number_is_refused(tmp_path):
    for index, value in enumerate((U * 1j, np.array(["a", "b"]), np.array([b"a"]))):
        assert "u" in refused(npz(tmp_path / f"{index}.npz", u=value), "u")
    both = np.zeros(2, [("real", "f8"), ("imag", "f8")])
    assert "complex" in refused(matlab(tmp_path / "a.mat", u=both), "u")


def header(shape):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return raw.getvalue()


def test_small_files_that_declare_much_are_refused(tmp_path):
    huge = (10**9, 41, 256)
    (tmp_path / "a.npy").write_bytes(header(huge) + bytes(100))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("u.npy", header(huge) + bytes(100))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("u", huge, "f4", chunks=(1, 41, 256))
    for name in ("a.npy", "a.npz", "a.h5"):
        refused(tmp_path / name)
    zarr(tmp_path / "a.zarr", u=U)
    import zarr as package

    array = package.open_group(tmp_path / "a.zarr")["u"]
    array.resize(huge)
    assert "declares" in refused(tmp_path / "a.zarr", "u")


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "u.zarr"])
def test_a_damaged_file_is_one_line(tmp_path, name):
    write, _ = WRITERS[name]
    path = write(tmp_path / name, u=np.random.default_rng(0).standard_normal((20, 30, 40)))
    content = path.read_bytes()
    for part in (content[: len(content) // 2], content[:40], content[:7], b"", b"text\n" * 100):
        path.write_bytes(part)
        refused(path)


def test_what_is_not_there_or_of_no_format_is_one_line(tmp_path):
    assert "no such file" in refused(tmp_path / "a.npz")
    (tmp_path / "folder").mkdir()
    assert "is a folder" in refused(tmp_path / "folder")
    (tmp_path / "a.txt").write_text("1 2 3\n")
    assert "not HDF5, NumPy, MATLAB, NetCDF or Zarr" in refused(tmp_path / "a.txt")


@pytest.mark.parametrize(("package", "name"), [("xarray", "a.zarr"), ("scipy.io", "a.mat")])
def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch, package, name):
    if name == "a.zarr":
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").touch()
    else:
        (tmp_path / name).write_bytes(b"MATLAB 5.0 MAT-file".ljust(200))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as error, array_file(tmp_path / name):
        pass
    assert is_one_line_about(error, tmp_path / name)
    assert "pip install 'universal-physics-stack[arrays]'" in str(error.value)


def test_arrays_outside_the_file_are_left_out(tmp_path):
    hdf5(tmp_path / "other.h5", secret=U)
    path = hdf5(tmp_path / "a.h5", u=U)
    with h5py.File(path, "a") as file:
        file["secret"] = h5py.ExternalLink("other.h5", "/secret")
    with array_file(path) as file:
        assert list(file.arrays) == ["u"]
