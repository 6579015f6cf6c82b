from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from array_writers import hdf5, matlab, matlab5, npy, npz
from data_files import PLANE, needs_real, on_plane, plane

from messages import is_one_line_about
from ups.config import override
from ups.data.arrays import Arrays
from ups.data.pdebench import PDEBench
from ups.solvers.equations import Burgers
from ups.types import OPEN, PERIODIC, WALL, Axis, Grid, UserError

VALUES = plane(num=5, frames=7, fields=2)  # 5 samples, 7 frames, 2 fields, 6 x 4 cells
TOLD = ("dt=0.5", "extent={x: 3.0, y: [-1, 1]}", "boundary={x: periodic, y: [wall, open]}")


def read(path, *settings):
    return override(Arrays(file=(path,)), settings)


def test_one_array_a_field_in_the_order_of_the_axes(tmp_path):
    path = npz(tmp_path / "a.npz", u=VALUES[:, :, 0], v=VALUES[:, :, 1], nu=np.linspace(0.1, 0.5, 5))
    source = read(path, "dims=sample time x y", "fields=[u, v]", "params=[nu]", *TOLD)
    data = source.load()
    assert np.array_equal(data.values, VALUES)
    assert np.allclose(data.params[:, 0], np.linspace(0.1, 0.5, 5))
    assert data.fields.grid.axes == (
        Axis("x", 6, 3.0, 0.0, PERIODIC, PERIODIC),
        Axis("y", 4, 2.0, -1.0, WALL, OPEN),
    )
    assert (data.fields.names, data.fields.params, data.fields.dt) == (("u", "v"), ("nu",), 0.5)
    assert source.equation_class is None


ORDERS = ["sample time x y field", "field y x time sample", "time sample field x y", "x time y field sample"]
LETTERS = {"sample": 0, "time": 1, "field": 2, "x": 3, "y": 4}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("write", [npz, npy, hdf5, matlab, matlab5])
def test_any_order_of_axes_gives_the_same_values(tmp_path, write, order):
    stored = VALUES.transpose([LETTERS[word] for word in order.split()])
    path = write(tmp_path / f"a.{write.__name__}", data=stored)
    fields = "fields={u: data, v: data}" if write is not npy else "fields=[u, v]"
    data = read(path, f"dims={order}", fields, *TOLD).load()
    if "y x" in order:  # the axes of space keep the order in which they stand
        assert [axis.name for axis in data.fields.grid.axes] == ["y", "x"]
        data = replace(
            data, values=data.values.mT, fields=replace(data.fields, grid=Grid(data.fields.grid.axes[::-1]))
        )
    assert np.array_equal(data.values, VALUES)
    assert data.fields.grid.extent == (3.0, 2.0)


@pytest.mark.parametrize("order", ["sample time x y", "x y time sample"])
def test_blocks_of_samples_are_read_wherever_that_axis_stands(tmp_path, order, monkeypatch):
    from ups.data import layout

    stored = VALUES[:, :, 0].transpose([("sample", "time", "x", "y").index(word) for word in order.split()])
    source = read(
        hdf5(tmp_path / "a.h5", u=stored), f"dims={order}", "stride_time=2", "stride_space=[3, 2]", *TOLD
    )
    monkeypatch.setattr(layout, "BLOCK_BYTES", 1.0)
    assert np.array_equal(source.load().values, VALUES[:, ::2, :1, ::3, ::2])


def test_one_trajectory_a_file_needs_no_axis_of_samples(tmp_path):
    files = [npz(tmp_path / f"{index}.npz", u=VALUES[index, :, 0]) for index in range(3)]
    data = override(Arrays(file=tuple(files)), ["dims=time x y", *TOLD]).load()
    assert np.array_equal(data.values, VALUES[:3, :, :1])


def test_one_fitting_array_needs_no_name(tmp_path):
    path = npz(tmp_path / "a.npz", u=VALUES[:, :, 0], nu=np.ones(5))
    assert read(path, "dims=sample time x y", *TOLD).load().fields.names == ("u",)


def test_fields_say_units_vectors_and_conservation(tmp_path):
    path = npz(tmp_path / "a.npz", vel=np.moveaxis(VALUES, 2, -1), h=VALUES[:, :, 0])
    fields = (
        "fields={h: {conserved: true, positive: true, unit: m}, vx: {array: vel, vector: v, axis: x},"
        " vy: {array: vel, vector: v, axis: y}}"
    )
    data = read(path, "dims=sample time x y field", fields, *TOLD).load()
    assert np.array_equal(data.values, np.concatenate([VALUES[:, :, :1], VALUES], 2))
    h, vx, vy = data.fields.each
    assert (h.unit, h.conserved, h.positive) == ("m", True, True)
    assert [(one.vector, one.axis) for one in (vx, vy)] == [("v", "x"), ("v", "y")]


def test_constants_are_of_all_samples_or_of_each(tmp_path):
    each, shared = VALUES[:, 0, 0], VALUES[0, 0, 1]
    path = npz(tmp_path / "a.npz", u=VALUES[:, :, 0], each=each, shared=shared)
    data = read(path, "dims=sample time x y", "fields=[u]", "constants=[each, shared]", *TOLD).load()
    assert np.array_equal(data.constants[:, 0], each)
    assert np.array_equal(data.constants[:, 1], np.broadcast_to(shared, each.shape))
    assert [field.name for field in data.fields.constants] == ["each", "shared"]


def test_constants_may_have_an_axis_of_fields(tmp_path):
    force = np.moveaxis(
        VALUES[:, 0], 1, -1
    )  # as in PDEBench's incompressible flow: (sample, x, y, component)
    path = npz(tmp_path / "a.npz", velocity=np.moveaxis(VALUES, 2, -1), force=force)
    fields = "fields={u: {array: velocity, vector: v, axis: x}, v: {array: velocity, vector: v, axis: y}}"
    constants = (
        fields.replace("fields=", "constants=").replace("velocity", "force").replace("vector: v", "vector: f")
    )
    data = read(path, "dims=sample time x y field", fields, constants, *TOLD).load()
    assert np.array_equal(data.values, VALUES)
    assert np.array_equal(data.constants, VALUES[:, 0])


def test_coordinates_come_from_the_file_by_the_names_of_the_axes_or_as_told(tmp_path):
    x, y = -1.5 + 3 * (np.arange(6) + 0.5) / 6, (np.arange(4) + 0.5) / 4
    arrays = {"u": VALUES[:, :, 0], "x": x, "lat": y, "t": 2 + 0.25 * np.arange(7)}
    for path in (npz(tmp_path / "a.npz", **arrays), matlab(tmp_path / "a.mat", **arrays | {"x": x[:, None]})):
        data = read(
            path, "dims=sample time x y", "fields=[u]", "coordinates={y: lat}", "boundary=wall"
        ).load()
        assert data.fields.grid.origin == pytest.approx((-1.5, 0.0), abs=1e-9)
        assert data.fields.grid.extent == pytest.approx((3.0, 1.0))
        assert data.fields.dt == 0.25


def test_parameters_are_arrays_attributes_or_numbers(tmp_path):
    path = hdf5(tmp_path / "a.h5", u=VALUES[:, :, 0], mu=np.arange(5.0), one=np.array([[7.0]]))
    with h5py.File(path, "a") as file:
        file.attrs["Re"] = 100
    params = "params={re: Re, mu: mu, one: one, g: 9.81}"
    data = read(path, "dims=sample time x y", "fields=[u]", params, *TOLD).load()
    assert np.allclose(data.params, [[100, index, 7, 9.81] for index in range(5)])


def test_an_equation_can_be_named_for_the_classical_solver(tmp_path):
    path = npz(tmp_path / "a.npz", u=VALUES[:, :, 0, :, 0])
    source = read(
        path,
        "dims=sample time x",
        "equation=burgers",
        "params={nu: 0.01}",
        "dt=1",
        "extent=1",
        "boundary=periodic",
    )
    assert source.equation_class is Burgers


def test_names_of_axes_in_a_netcdf_file_are_told_by_a_mapping(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    data = xarray.Dataset(
        {
            "vel": (
                ("lat", "member", "comp", "lon", "time"),
                VALUES.transpose(4, 0, 2, 3, 1),
                {"units": "m/s"},
            ),
            "depth": (("lat", "lon"), VALUES[0, 0, 0].T),
            "nu": (("member",), np.arange(5.0)),
        },
        {
            "time": ("time", 0.5 * np.arange(7), {"units": "h"}),
            "lon": ("lon", (np.arange(6) + 0.5) / 2, {"units": "km"}),
            "lat": ("lat", -1 + (np.arange(4) + 0.5) / 2),
        },
    )
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    pytest.importorskip("zarr")
    data.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    for name in ("a.nc", "a.zarr"):
        found = read(
            tmp_path / name,
            "dims={sample: member, time: time, space: [lon, lat], field: comp}",
            "fields={u: {array: vel}, v: {array: vel}}",
            "constants=[depth]",
            "params=[nu]",
            "boundary={lon: periodic, lat: wall}",
        ).load()
        assert np.array_equal(found.values, VALUES)
        assert np.array_equal(found.constants[2, 0], VALUES[0, 0, 0])
        assert found.params[:, 0].tolist() == [0, 1, 2, 3, 4]
        assert found.fields.grid.axes == (
            Axis("lon", 6, 3.0, 0.0, PERIODIC, PERIODIC, "km"),
            Axis("lat", 4, 2.0, -1.0, WALL, WALL),
        )
        assert (found.fields.dt, found.fields.time_unit, found.fields.each[0].unit) == (0.5, "h", "m/s")


def test_values_beyond_the_limit_are_mapped(tmp_path):
    source = read(npz(tmp_path / "a.npz", u=VALUES[:, :, 0]), "dims=sample time x y", *TOLD)
    mapped = source.model_copy(update={"max_memory_gb": 1e-7})
    assert torch.equal(mapped.load(cache_dir=tmp_path / "cache").values, source.load().values)


def _fault(arrays, settings, expected):
    return arrays, settings, expected


U = VALUES[:, :, 0]
DIMS = "dims=sample time x y"
FAULTS = {
    "no dims": ({"u": U}, TOLD, "which axis is what? give dims="),
    "no time": ({"u": U[:, 0]}, ("dims=sample x y", *TOLD), "trajectories are needed"),
    "no space": ({"u": U}, ("dims=sample time", *TOLD), "which axis is what?"),
    "too few axes": (
        {"u": U},
        ("dims=sample time x", "fields=[u]", "dt=1", "extent=1", "boundary=wall"),
        "shape (5, 7, 6, 4)",
    ),
    "which field": ({"u": U, "v": U}, (DIMS, *TOLD), "which fields? give fields="),
    "wrong field": ({"u": U, "v": U}, (DIMS, "fields=[w]", *TOLD), "no array w; the file has u (5, 7, 6, 4)"),
    "wrong order": (
        {"u": U, "x": np.arange(6.0)},
        ("dims=sample x time y", "fields=[u]", "dt=1", "extent={y: 1}", "boundary=wall"),
        "x has shape (6,) for 7 cells",
    ),
    "lengths": (
        {"u": U, "v": U[:, :, :5]},
        (DIMS, "fields=[u, v]", *TOLD),
        "axis x has length 6 in u, 5 in v",
    ),
    "number of fields": (
        {"u": np.moveaxis(VALUES, 2, -1)},
        ("dims=sample time x y field", "fields=[a, b, c]", *TOLD),
        "holds 2 fields, 3 are named",
    ),
    "unnamed axes": (
        {"u": U},
        ("dims={sample: s, time: t, space: [x, y]}", "fields=[u]", *TOLD),
        "have no names",
    ),
    "no dt": ({"u": U}, (DIMS, *TOLD[1:]), "the step in time is not recorded; give dt="),
    "no extent": ({"u": U}, (DIMS, TOLD[0], TOLD[2]), "the length of x, y is not recorded; give extent="),
    "no boundary": (
        {"u": U},
        (DIMS, *TOLD[:2]),
        "what holds at the ends of x, y is not recorded; give boundary=",
    ),
    "nothing told": ({"u": U}, (DIMS,), "give dt="),
    "one boundary": ({"u": U}, (DIMS, *TOLD[:2], "boundary={x: wall}"), "what holds at the ends of y is"),
    "unequal cells": (
        {"u": U, "x": np.arange(6.0) ** 2},
        (DIMS, "fields=[u]", "dt=1", "extent={y: 1}", "boundary=wall"),
        "x is not a uniform increasing grid",
    ),
    "unequal steps": (
        {"u": U, "t": np.arange(7.0) ** 2},
        (DIMS, "fields=[u]", *TOLD[1:]),
        "not equally far apart in time",
    ),
    "falling times": ({"u": U, "t": -np.arange(7.0)}, (DIMS, "fields=[u]", *TOLD[1:]), "does not increase"),
    "a mask of nan": (
        {"u": np.where(np.arange(4) > 1, U, np.nan)},
        (DIMS, *TOLD),
        "same 12 cells are NaN in every frame",
    ),
    "nan in a constant": (
        {"u": U, "k": np.full((6, 4), np.nan)},
        (DIMS, "fields=[u]", "constants=[k]", *TOLD),
        "constant field is nan",
    ),
    "constant with time": (
        {"u": U},
        (DIMS, "fields=[u]", "constants={k: u}", *TOLD),
        "u has shape (5, 7, 6, 4)",
    ),
    "parameter of another length": (
        {"u": U, "nu": np.ones(4)},
        (DIMS, "fields=[u]", "params=[nu]", *TOLD),
        "nu has shape (4,) for 5 trajectories",
    ),
    "parameter that is not finite": (
        {"u": U, "nu": np.full(5, np.inf)},
        (DIMS, "fields=[u]", "params=[nu]", *TOLD),
        "nu is inf",
    ),
    "parameter that is not there": ({"u": U}, (DIMS, "fields=[u]", "params=[nu]", *TOLD), "no array nu"),
    "complex": ({"u": U * 1j}, (DIMS, *TOLD), "complex"),
    "text": ({"u": np.full((2, 3, 4, 5), "a")}, (DIMS, *TOLD), "not numbers"),
    "empty": ({"u": U[:0]}, (DIMS, *TOLD), "is empty"),
    "component along no axis": (
        {"u": U},
        (DIMS, "fields={u: {vector: v, axis: z}}", *TOLD),
        "u lies along z",
    ),
    "a coordinate that is not there": (
        {"u": U},
        (DIMS, "fields=[u]", "coordinates={x: lon}", "dt=1", "boundary=wall"),
        "no array lon",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("write", [npz, hdf5])
def test_a_fault_is_told_in_one_line_that_names_the_file(tmp_path, name, write):
    arrays, settings, expected = FAULTS[name]
    if write is hdf5:
        arrays = {
            key: np.char.encode(value) if value.dtype.kind == "U" else value for key, value in arrays.items()
        }
    path = write(tmp_path / f"a.{write.__name__}", **arrays)
    with pytest.raises(UserError) as error:
        read(path, *settings).load()
    assert is_one_line_about(error, path)
    assert expected in str(error.value)
    assert len(str(error.value)) - len(str(path)) <= 300


@needs_real
def test_pdebenchs_file_read_as_arrays_is_the_same_file():
    from data_files import STRIDED

    known = PDEBench(file=STRIDED, num_trajectories=5).load()
    mine = read(
        STRIDED,
        "dims=sample time x",
        "fields={u: tensor}",
        "params={nu: Nu}",
        "coordinates={x: x-coordinate, time: t-coordinate}",
        "boundary=periodic",
        "num_trajectories=5",
    ).load()
    assert torch.equal(mine.values, known.values)
    assert torch.equal(mine.params, known.params)
    assert mine.fields.grid == known.fields.grid
    assert mine.fields.dt == known.fields.dt


def test_our_own_npz_says_itself_what_it_means_and_settings_still_count(tmp_path):
    from ups.data.export import write_npz

    data = on_plane()
    write_npz(tmp_path / "a.npz", data, "mine")
    assert Arrays(file=tmp_path / "a.npz").load().fields == PLANE
    again = read(tmp_path / "a.npz", "boundary={y: wall}").load()
    assert again.fields.grid.axes[1].high == WALL
    assert torch.equal(again.values, data.values)


@pytest.mark.parametrize("frames", [7, 6])
@pytest.mark.parametrize(("write", "name"), [(npz, "a.npz"), (hdf5, "a.h5")])
def test_actions_act_from_each_frame_to_the_next(tmp_path, write, name, frames):
    done = np.random.default_rng(0).normal(size=(5, frames, 3)).astype(np.float32)
    path = write(tmp_path / name, u=VALUES[:, :, 0], done=done)
    source = read(path, "dims=sample time x y", "fields=[u]", "actions=done", *TOLD)
    data = source.load()
    assert data.fields.actions == ("action_0", "action_1", "action_2")
    assert np.array_equal(data.actions[:, :frames], done)
    assert data.actions.shape == (5, 7, 3)
    assert (data.actions[:, frames:] == 0).all()
    with pytest.raises(UserError, match="would leave actions out"):
        override(source, ["stride_time=2"]).load()


def test_actions_that_do_not_fit_the_frames_are_one_line(tmp_path):
    path = npz(tmp_path / "a.npz", u=VALUES[:, :, 0], short=np.zeros((5, 4, 2)), none=np.zeros((5, 7)))
    for name in ("short", "none", "missing"):
        with pytest.raises(UserError) as found:
            read(path, "dims=sample time x y", "fields=[u]", f"actions={name}", *TOLD).load()
        is_one_line_about(found, name)
