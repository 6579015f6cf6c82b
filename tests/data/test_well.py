from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from data_files import PLANE, on_plane, trajectory

from messages import is_one_line_about
from ups.data.well import Well, write_well
from ups.types import Axis, Boundary, Field, Grid, Trajectory, UserError

TENSOR = replace(
    PLANE,
    each=(
        Field("stress_xx", vector="stress", axis="xx"),
        Field("density", conserved=True),
        *(Field(f"stress_{axes}", vector="stress", axis=axes) for axes in ("yx", "xy", "yy")),
        Field("u", vector="velocity", axis="y"),  # x is not there: it cannot stand as a vector
    ),
)


@pytest.mark.parametrize(
    "data", [trajectory(), on_plane(), on_plane(fields=TENSOR)], ids=["line", "plane", "tensor"]
)
def test_what_is_written_is_read_again_in_the_same_order(tmp_path, data):
    write_well(tmp_path / "a.hdf5", data, "mine")
    source = Well(file=tmp_path / "a.hdf5")
    again = source.load()
    assert torch.equal(again.values, data.values)
    assert torch.equal(again.params, data.params)
    assert (again.constants is None) == (data.constants is None)
    assert data.constants is None or torch.equal(again.constants, data.constants)
    assert again.fields == data.fields
    assert source.equation == "mine"


def test_a_box_is_written_too(tmp_path):
    axes = tuple(Axis(name, cells, 1.0) for name, cells in (("x", 2), ("y", 3), ("z", 4)))
    each = tuple(Field(f"v{axis.name}", vector="v", axis=axis.name) for axis in axes)
    fields = replace(PLANE, each=each, grid=Grid(axes), params=(), constants=())
    data = Trajectory(torch.rand(2, 3, 3, 2, 3, 4), torch.zeros(2, 0), fields)
    write_well(tmp_path / "a.hdf5", data)
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["t1_fields/v"].shape == (2, 3, 2, 3, 4, 3)
    again = Well(file=tmp_path / "a.hdf5").load()
    assert torch.equal(again.values, data.values)
    assert again.fields == fields


def test_a_value_held_at_an_end_is_a_wall_to_others_and_itself_to_us(tmp_path):
    data = trajectory()
    (axis,) = data.fields.grid.axes
    axis = replace(axis, low=Boundary("dirichlet", 0.5), high=Boundary("neumann", -1.0))
    data = replace(data, fields=replace(data.fields, grid=Grid((axis,))))
    write_well(tmp_path / "a.hdf5", data)
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert list(file["boundary_conditions"]) == ["x_wall"]
        assert file["boundary_conditions/x_wall"].attrs["bc_type"] == "WALL"
        assert np.flatnonzero(file["boundary_conditions/x_wall/mask"]).tolist() == [0, 15]
    assert Well(file=tmp_path / "a.hdf5").load().fields == data.fields


def test_the_file_keeps_the_rules_of_the_well(tmp_path):
    """The rules that the format's own checker asks for, one by one."""
    data = on_plane()
    write_well(tmp_path / "a.hdf5", data, extra={"members": torch.ones(5, 2)})
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert isinstance(file.attrs["dataset_name"], str)
        assert isinstance(file.attrs["grid_type"], str)
        assert (file.attrs["n_spatial_dims"], file.attrs["n_trajectories"]) == (2, 5)
        assert all(name in file.attrs for name in file.attrs["simulation_parameters"])
        dims = file["dimensions"]
        assert list(dims.attrs["spatial_dims"]) == ["x", "y"]
        for name, cells in (("time", 5), ("x", 6), ("y", 4)):
            assert dims[name].shape == (cells,)
            assert dims[name].dtype == np.float32
            assert isinstance(dims[name].attrs["sample_varying"], np.bool_)
            assert isinstance(dims[name].attrs["time_varying"], np.bool_)
        assert [list(file[f"t{rank}_fields"].attrs["field_names"]) for rank in range(3)] == [
            ["density", "depth"],
            ["velocity"],
            [],
        ]
        for name, shape in (
            ("t0_fields/density", (5, 5, 6, 4)),
            ("t0_fields/depth", (5, 6, 4)),
            ("t1_fields/velocity", (5, 5, 6, 4, 2)),
        ):
            assert file[name].shape == shape
            assert file[name].dtype == np.float32
            assert file[name].attrs["dim_varying"].tolist() == [True, True]
            assert isinstance(file[name].attrs["time_varying"], np.bool_)
        scalars = file["scalars"]
        assert list(scalars.attrs["field_names"]) == ["nu", "kappa"]
        assert (scalars["nu"].shape, scalars["kappa"].shape) == ((5,), ())
        for name, one in file["boundary_conditions"].items():
            assert one.attrs["bc_type"] in ("PERIODIC", "WALL", "OPEN"), name
            assert len(one.attrs["associated_dims"]) == 1
            assert one["mask"].dtype == bool
        assert file["members"].shape == (5, 2)


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(UserError) as error:
        write_well(tmp_path / "a.hdf5", trajectory(), extra={"scalars": torch.ones(1)})
    assert is_one_line_about(error, tmp_path / "a.hdf5")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="one frame has no step in time"):
        write_well(tmp_path / "a.hdf5", trajectory(frames=1))
    with pytest.raises(UserError, match="there is no folder"):
        write_well(tmp_path / "nowhere" / "a.hdf5", trajectory())


def test_the_wells_own_package_reads_what_we_write(tmp_path):
    well = pytest.importorskip("the_well.data", reason="the-well is not installed")
    for data, name in (
        (on_plane(), "plane"),
        (on_plane(fields=replace(TENSOR, each=TENSOR.each[:5])), "tensor"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        write_well(folder / "a.hdf5", data)
        theirs = well.WellDataset(path=str(folder), n_steps_input=2, n_steps_output=3)
        assert (len(theirs), theirs.metadata.spatial_resolution) == (5, (6, 4))
        fields = data.fields
        names = [name for rank in range(3) for name in theirs.metadata.field_names[rank]]
        by_name = {
            f"{field.vector}_{field.axis}" if field.vector else field.name: place
            for place, field in enumerate(fields.each)
        }
        for index in range(5):
            item = theirs[index]
            frames = torch.cat([item["input_fields"], item["output_fields"]]).movedim(-1, 1)
            assert torch.equal(frames, data.values[index][:, [by_name[name] for name in names]])
            assert torch.equal(item["constant_fields"].movedim(-1, 0), data.constants[index])
            assert torch.equal(item["constant_scalars"], data.params[index])
            assert item["boundary_conditions"].tolist() == [[2, 2], [0, 1]]
            assert torch.allclose(item["space_grid"][:, 0, 0], fields.grid.axes[0].centres().float())
