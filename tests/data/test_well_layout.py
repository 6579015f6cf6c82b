import h5py
import numpy as np
import pytest
from well_files import FRAMES, NUM, tiled, write_by_specification

from messages import is_one_line_about
from ups.data import layout as layout_module
from ups.data.well import Well
from ups.data.well_layout import components, is_well, read_well
from ups.types import PERIODIC, WALL, Axis, UserError

STATE = ("t0_fields/density", "t0_fields/profile", "t1_fields/velocity", "t2_fields/stress")
FIXED = ("t0_fields/depth", "t0_fields/mask", "t1_fields/gravity")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hdf5"


@pytest.mark.parametrize("text", [str, bytes])
def test_every_kind_of_field_is_tiled_to_what_it_means(path, text, monkeypatch):
    layout = read_well(write_by_specification(path, text=text))
    assert layout.fields.names == (
        "density",
        "profile",
        "velocity_x",
        "velocity_y",
        "stress_xx",
        "stress_xy",
        "stress_yx",
        "stress_yy",
    )
    monkeypatch.setattr(layout_module, "BLOCK_BYTES", 1.0)
    values = np.concatenate([block for _, block in layout.blocks(NUM)])
    assert np.array_equal(values, np.concatenate([tiled(name) for name in STATE], axis=2))
    cut = (slice(None, None, 2), slice(None, None, 3), slice(None, None, 2))
    parts = np.concatenate([block for _, block in layout.blocks(NUM, cut)])
    assert np.array_equal(parts, values[:, ::2, :, ::3, ::2])
    expected = np.concatenate([tiled(name)[:, 0] for name in FIXED], axis=1)
    assert np.array_equal(layout.constants, expected)
    assert [field.name for field in layout.fields.constants] == ["depth", "mask", "gravity_x", "gravity_y"]


def test_vectors_are_tied_and_tensors_named_by_both_axes(path):
    each = read_well(write_by_specification(path)).fields.each
    assert [(field.vector, field.axis) for field in each] == [
        ("", ""),
        ("", ""),
        ("velocity", "x"),
        ("velocity", "y"),
        *(("stress", axes) for axes in ("xx", "xy", "yx", "yy")),
    ]
    assert components(("x", "y"), 0) == [""]
    assert components(("r", "s", "t"), 1) == ["r", "s", "t"]


def test_grid_time_parameters_and_boundaries(path):
    layout = read_well(write_by_specification(path))
    assert layout.fields.grid.axes == (
        Axis("x", 6, 3.0, -0.25, PERIODIC, PERIODIC),
        Axis("y", 4, 1.0, 0.0, WALL, WALL),
    )
    assert (layout.num_trajectories, layout.num_frames, layout.fields.dt) == (NUM, FRAMES, 0.25)
    assert layout.fields.params == ("nu", "kappa", "Re")
    assert np.array_equal(layout.params, [[0.5, 1, 100], [0.5, 2, 100], [0.5, 3, 100]])
    assert layout.notes == ("scalar power, which varies in time",)
    assert (layout.equation, layout.missing) == ("", "")


def test_masks_that_do_not_tell_are_asked_for_and_settings_answer(path):
    write_by_specification(path)
    with h5py.File(path, "a") as file:
        del file["boundary_conditions/y_WALL"]
    assert "ends of y is not recorded" in read_well(path).missing
    told = Well(file=path, boundary={"y": ["wall", "open"]})
    assert str(told.load().fields.grid.axes[1].high) == "open"
    with pytest.raises(UserError, match="ends of y is not recorded"):
        Well(file=path).load()


def test_times_and_grids_may_be_stored_for_each_sample_if_they_agree(path):
    write_by_specification(path)
    with h5py.File(path, "a") as file:
        for name, rows in (
            ("time", np.arange(FRAMES) * 0.25 + np.arange(NUM)[:, None]),
            ("x", np.tile(np.arange(6) / 2, (NUM, 1))),
        ):
            del file[f"dimensions/{name}"]
            file[f"dimensions/{name}"] = rows
            file[f"dimensions/{name}"].attrs["sample_varying"] = True
    layout = read_well(path)
    assert (layout.fields.dt, layout.fields.grid.extent) == (0.25, (3.0, 1.0))
    with h5py.File(path, "a") as file:
        file["dimensions/time"][1] *= 2
    with pytest.raises(UserError, match="trajectories differ in dt"):
        read_well(path)


def test_the_format_is_recognized(path, tmp_path):
    with h5py.File(write_by_specification(path)) as file:
        assert is_well(file)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["tensor"] = [1.0]
        assert not is_well(file)


def _change(**changes):
    def plant(file):
        for name, value in changes.items():
            where, _, key = name.replace("__", "/").partition("@")
            if key:
                file[where or "/"].attrs[key] = value
            else:
                attributes = dict(file[where].attrs)
                del file[where]
                if value is not None:
                    file[where] = value
                    file[where].attrs.update(attributes)

    return plant


FAULTS = {
    "spherical grid": (_change(**{"@grid_type": "spherical"}), "spherical grid"),
    "no trajectories": (_change(**{"@n_trajectories": 0}), "n_trajectories is 0"),
    "trajectories as text": (_change(**{"@n_trajectories": "three"}), "n_trajectories is three"),
    "more trajectories than there are": (_change(**{"@n_trajectories": 4}), "expected (4, 5, 6, 4)"),
    "no axes": (_change(**{"dimensions@spatial_dims": []}), "names 0 axes"),
    "numbers for axes": (_change(**{"dimensions@spatial_dims": [1, 2]}), "text is expected"),
    "an axis without coordinates": (_change(**{"dimensions@spatial_dims": ["x", "z"]}), "dimensions/z"),
    "unequal spacing": (_change(**{"dimensions/y": np.cos(np.arange(4))[::-1]}), "not a uniform"),
    "a moving grid": (_change(**{"dimensions/x@time_varying": True}), "grid moves in time"),
    "no group of tensors": (_change(t2_fields=None), "no group t2_fields"),
    "t1 of another shape": (
        _change(**{"t1_fields/velocity": np.zeros((3, 4, 6, 4, 2))}),
        "t1_fields/velocity has shape (3, 4, 6, 4, 2), expected (3, 5, 6, 4, 2)",
    ),
    "three components in a plane": (_change(**{"t1_fields/velocity": np.zeros((3, 5, 6, 4, 3))}), "expected"),
    "a named field that is not there": (
        _change(**{"t0_fields@field_names": ["density", "heat"]}),
        "t0_fields/heat",
    ),
    "a flag that is no flag": (_change(**{"t0_fields/density@time_varying": "yes"}), "time_varying"),
    "too few flags": (_change(**{"t0_fields/density@dim_varying": [True]}), "dim_varying needs"),
    "complex values": (_change(**{"t0_fields/density": np.zeros((3, 5, 6, 4), complex)}), "complex"),
    "a scalar of another shape": (_change(**{"scalars/kappa": np.ones(4)}), "scalars/kappa has shape (4,)"),
    "a scalar that is not finite": (_change(**{"scalars/nu": np.nan}), "scalars/nu is nan"),
    "a parameter that is not finite": (_change(**{"@Re": np.inf}), "Re is"),
    "a foreign record": (_change(**{"@fields": "{}"}), "is not what `ups` writes"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_one_line_that_names_the_file(path, name):
    plant, expected = FAULTS[name]
    with h5py.File(write_by_specification(path), "a") as file:
        plant(file)
    with pytest.raises(UserError) as error:
        read_well(path)
    assert is_one_line_about(error, path)
    assert expected in str(error.value)


def test_a_file_of_constants_has_no_trajectories(path):
    with h5py.File(write_by_specification(path), "a") as file:
        for group, names in (("t0_fields", ["depth"]), ("t1_fields", []), ("t2_fields", [])):
            file[group].attrs["field_names"] = names
    with pytest.raises(UserError, match="trajectories are needed"):
        read_well(path)


def test_tiling_does_not_make_much_of_a_small_file(path):
    with h5py.File(write_by_specification(path), "a") as file:
        file.attrs["n_trajectories"] = 10**9
        for group in ("t1_fields", "t2_fields"):
            file[group].attrs["field_names"] = []
        for name in ("density", "mask"):
            del file[f"t0_fields/{name}"]
        file["t0_fields"].attrs["field_names"] = ["profile", "depth"]
        file["scalars"].attrs["field_names"] = []
    with pytest.raises(UserError, match="n_trajectories is 1000000000, but no field"):
        read_well(path)
    with h5py.File(path, "a") as file:
        file.attrs["n_trajectories"] = 1
        for name in ("x", "y"):
            del file[f"dimensions/{name}"]
            file[f"dimensions/{name}"] = np.arange(20_000.0)
        del file["t0_fields/profile"], file["boundary_conditions"]
        file["t0_fields/profile"] = np.arange(5.0)
        file["t0_fields/profile"].attrs.update({
            "sample_varying": False,
            "time_varying": True,
            "dim_varying": [False, False],
        })
        file["t0_fields"].attrs["field_names"] = ["profile"]
    with pytest.raises(UserError, match="what is tiled declares 8 GB"):
        read_well(path)


def test_a_parameter_that_is_no_number_is_not_used(path):
    with h5py.File(write_by_specification(path), "a") as file:
        file.attrs["simulation_parameters"] = ["Re", "scheme"]
        file.attrs["scheme"] = "roe"
    layout = read_well(path)
    assert layout.fields.params == ("nu", "kappa", "Re")
    assert "parameter scheme, which is no number" in layout.notes
