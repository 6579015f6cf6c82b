from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from data_files import (
    FULL,
    STRIDED,
    STRIDED_OTHER_NU,
    burgers,
    needs_real,
    on_plane,
    trajectory,
)
from data_files import values as random_values

from lines import on_line
from ups.config import override
from ups.data.pdebench import PDEBench, write_pdebench
from ups.solvers.equations import Burgers, Heat
from ups.solvers.stepper import Coarse
from ups.types import OPEN, Axis, Field, Fields, Grid, Trajectory, UserError


def save(path, data, **more):
    write_pdebench(path, data.values, data.fields, data.params, **more)
    return path


def test_what_is_written_is_read_again(tmp_path):
    data = trajectory()
    again = PDEBench(file=save(tmp_path / "a.hdf5", data)).load()
    assert torch.equal(again.values, data.values)
    assert torch.equal(again.params, data.params)
    assert again.fields == data.fields


def test_varying_parameters_and_several_fields_survive_the_round_trip(tmp_path):
    fields = on_line(
        ("rho", "p"),
        ("kg", "Pa"),
        64.0,
        0.5,
        cells=16,
        boundary=OPEN,
        params=("eta", "speed"),
        origin=-1.0,
        conserved=("rho",),
    )
    data = Trajectory(torch.from_numpy(random_values(fields=2)), torch.rand(6, 2), fields)
    again = PDEBench(file=save(tmp_path / "a.hdf5", data)).load()
    assert torch.equal(again.values, data.values)
    assert torch.equal(again.params, data.params)
    assert again.fields == fields


def test_the_written_layout_is_pdebenchs(tmp_path):
    path = save(tmp_path / "a.hdf5", trajectory(), extra={"members": torch.ones(6, 3)})
    with h5py.File(path) as file:
        assert file["tensor"].shape == (6, 5, 16)
        assert file["tensor"].dtype == np.float32
        assert file["t-coordinate"].shape == (6,)
        assert np.allclose(file["x-coordinate"], -1 + 2 * (np.arange(16) + 0.5) / 16)
        assert file.attrs["Nu"] == pytest.approx(0.01)
        assert file["members"].shape == (6, 3)


def test_a_plane_with_a_vector_constants_and_four_boundaries_survives(tmp_path):
    data = on_plane()
    again = PDEBench(file=save(tmp_path / "a.hdf5", data, constants=data.constants, equation="mine")).load()
    assert torch.equal(again.values, data.values)
    assert torch.equal(again.constants, data.constants)
    assert torch.equal(again.params, data.params)
    assert again.fields == data.fields
    assert PDEBench(file=tmp_path / "a.hdf5").equation == "mine"


def test_axes_of_another_name_are_not_pdebenchs(tmp_path):
    data = trajectory()
    (axis,) = data.fields.grid.axes
    fields = replace(data.fields, grid=Grid((replace(axis, name="r"),)))
    with pytest.raises(UserError, match=r"axes are x, y, z, these are r"):
        save(tmp_path / "a.hdf5", replace(data, fields=fields))


def test_one_frame_of_one_trajectory_can_be_written_and_read(tmp_path):
    again = PDEBench(file=save(tmp_path / "a.hdf5", trajectory(num=1, frames=1))).load()
    assert again.values.shape == (1, 1, 1, 16)
    assert again.fields.dt == 0.25


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = save(tmp_path / "a.hdf5", trajectory())
    before = path.read_bytes()
    with pytest.raises(UserError, match="cannot write"):
        save(path, trajectory(seed=1), extra={"tensor": torch.ones(3)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="there is no folder"):
        save(tmp_path / "nowhere" / "a.hdf5", trajectory())


def test_one_path_is_a_list_of_one_also_on_the_command_line(tmp_path):
    path = burgers(tmp_path / "burgers.h5")
    assert PDEBench(file=str(path)).file == (path,)
    assert override(PDEBench(), [f"file={path}"]).file == (path,)
    assert override(PDEBench(), [f"file=[{path}, {path}]"]).file == (path, path)


def test_the_equation_is_known_to_the_classical_solver(tmp_path):
    path = burgers(tmp_path / "burgers.h5")
    source = PDEBench(file=path)
    assert source.equation_class is Burgers
    Coarse(source.equation_class, source.load().fields, 8)
    assert PDEBench(file=save(tmp_path / "b.h5", trajectory(), equation="burgers")).equation_class is Burgers
    assert PDEBench(file=save(tmp_path / "c.h5", trajectory())).equation_class is None


@needs_real
def test_the_full_files_strided_are_the_strided_file():
    strided = PDEBench(file=STRIDED).load()
    full = PDEBench(file=FULL, stride_space=4, stride_time=5).load()
    assert len(full) == 12
    assert torch.equal(full.values, strided.values[:12])
    assert full.fields == strided.fields
    assert strided.fields == on_line(
        ("u",), None, 1.0, 0.05, cells=256, origin=-0.001465, params=("nu",), conserved=("u",)
    )


@needs_real
def test_two_viscosities_begin_alike_and_part():
    one, two = (PDEBench(file=file, num_trajectories=64).load() for file in (STRIDED, STRIDED_OTHER_NU))
    assert torch.equal(one.values[:, 0], two.values[:, 0])
    assert not torch.equal(one.values[:, 1], two.values[:, 1])
    assert one.params[0].item() == pytest.approx(0.001)
    assert two.params[0].item() == pytest.approx(0.01)


def test_an_equation_that_the_solver_cannot_solve_on_the_files_grid_has_no_solver(tmp_path):
    fields = Fields((Field("u"),), Grid((Axis("x", 12, 1.0), Axis("y", 10, 1.0))), 0.1, params=("nu",))
    plane = Trajectory(torch.rand(3, 4, 1, 12, 10), torch.full((3, 1), 0.01), fields)
    for equation, expected in (("burgers", None), ("heat", Heat)):
        path = save(tmp_path / f"{equation}.h5", plane, equation=equation)
        assert PDEBench(file=path, boundary="periodic").equation_class is expected
