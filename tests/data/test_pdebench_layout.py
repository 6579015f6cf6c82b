import h5py
import numpy as np
import pytest
from data_files import REACTION, burgers, dam_break, needs_real, plane, values, write

from messages import is_one_line, is_one_line_about
from ups.data.pdebench_layout import read_pdebench
from ups.types import OPEN, WALL, Axis, UserError


def test_the_parameter_comes_from_the_attribute_before_the_name(tmp_path):
    layout = read_pdebench(burgers(tmp_path / "1D_Burgers_Sols_Nu0.5.hdf5", nu=0.02))
    assert layout.equation == "burgers"
    assert layout.fields.params == ("nu",)
    assert np.allclose(layout.params, 0.02)


@pytest.mark.parametrize(
    ("name", "attrs", "equation", "params"),
    [
        ("1D_Burgers_Sols_Nu0.001.hdf5", {}, "burgers", {"nu": 0.001}),
        ("1D_Burgers_Sols_Nu4e-3.hdf5", {}, "burgers", {"nu": 0.004}),
        ("1D_Advection_Sols_beta0.4.hdf5", {}, "advection", {"speed": 0.4}),
        ("mine.hdf5", {"beta": 7.0}, "advection", {"speed": 7.0}),
        ("ReacDiff_Nu0.5_Rho1.0.hdf5", {}, "fisher_kpp", {"nu": 0.5, "rho": 1.0}),
        ("x.h5", {"Nu": 0.5, "rho": np.array([2.0])}, "fisher_kpp", {"nu": 0.5, "rho": 2.0}),
    ],
)
def test_equation_and_parameters_are_found_in_attributes_or_the_name(tmp_path, name, attrs, equation, params):
    layout = read_pdebench(write(tmp_path / name, {"tensor": values()[:, :, 0]}, attrs))
    assert layout.equation == equation
    assert dict(zip(layout.fields.params, layout.params[0].tolist(), strict=True)) == pytest.approx(params)


@pytest.mark.parametrize(("boundary", "expected"), [("periodic", "periodic"), ("trans", "open")])
def test_compressible_flow_has_three_fields_in_pdebench_order(tmp_path, boundary, expected):
    parts = {name: values(seed=i)[:, :, 0] for i, name in enumerate(("density", "pressure", "Vx"))}
    path = write(tmp_path / f"1D_CFD_Rand_Eta1.e-8_Zeta1.e-3_{boundary}_Train.hdf5", parts)
    layout = read_pdebench(path)
    assert layout.fields.names == ("density", "pressure", "Vx")
    (axis,) = layout.fields.grid.axes
    assert axis.low.kind == axis.high.kind == expected
    assert layout.fields.conserved == (("density",) if boundary == "periodic" else ())
    assert np.allclose(layout.params, [[1e-8, 1e-3]], rtol=1e-6, atol=0)
    ((start, block),) = layout.blocks(6)
    assert start == 0
    for index, part in enumerate(parts.values()):
        assert np.array_equal(block[:, :, index], part)


def test_diffusion_sorption_has_one_group_per_trajectory(tmp_path):
    data = values()
    with h5py.File(path := tmp_path / "1D_diff-sorp_NA_NA.h5", "w") as file:
        for index in (3, 0, 2, 1, 5, 4):
            file[f"{index:04d}/data"] = data[index].transpose(0, 2, 1)
            file[f"{index:04d}/grid/x"] = ((np.arange(16) + 0.5) / 16).astype(np.float32)
            file[f"{index:04d}/grid/t"] = np.linspace(0, 500, 5, dtype=np.float32)
    layout = read_pdebench(path)
    assert layout.fields.grid.axes[0].low == layout.fields.grid.axes[0].high == WALL
    assert layout.equation == "diff_sorp"
    assert layout.fields.dt == 125
    assert layout.params.shape == (6, 0)
    ((_, block),) = layout.blocks(6, (slice(None, None, 2), slice(None, None, 4)))
    assert np.array_equal(block, data[:, ::2, :, ::4])


def test_the_grid_is_cells_around_its_points(tmp_path):
    fields = read_pdebench(
        write(tmp_path / "burgers.h5", {"tensor": values()[:, :, 0]}, {"Nu": 1}, extent=16.0)
    ).fields
    assert fields.grid.extent == (16.0,)
    assert fields.grid.origin == (0.0,)
    assert fields.dt == 0.01


def test_an_unknown_equation_is_normal_and_its_boundaries_are_asked_for(tmp_path):
    path = write(tmp_path / "mine.h5", {"tensor": values()[:, :, 0]})
    layout = read_pdebench(path)
    assert (layout.equation, layout.fields.params) == ("", ())
    assert is_one_line(layout.missing, path)
    assert "boundary=periodic" in layout.missing
    told = read_pdebench(path, {"x": ("wall", "open")})
    assert not told.missing
    assert told.fields.grid.axes[0] == Axis("x", 16, 1.0, 0.0, WALL, OPEN)


def test_a_known_boundary_can_be_corrected(tmp_path):
    layout = read_pdebench(burgers(tmp_path / "a.h5"), {"*": ("dirichlet(0.5)", "wall")})
    assert str(layout.fields.grid.axes[0].low) == "dirichlet(0.5)"


def test_flow_in_a_plane_has_one_vector_and_no_axis_is_swapped(tmp_path):
    data = plane(fields=4)
    names = ("density", "pressure", "Vx", "Vy")
    path = write(
        tmp_path / "2D_CFD_Rand_M0.1_Eta0.01_Zeta0.01_periodic_128_Train.hdf5",
        {name: data[:, :, index] for index, name in enumerate(names)},
        extent=(1.0, 2.0),
    )
    layout = read_pdebench(path)
    assert layout.fields.names == names
    assert [(field.vector, field.axis) for field in layout.fields.each[2:]] == [
        ("velocity", "x"),
        ("velocity", "y"),
    ]
    assert layout.fields.conserved == ("density",)
    assert layout.fields.grid.axes == (Axis("x", 6, 1.0), Axis("y", 4, 2.0))
    assert np.allclose(layout.params, 0.01)
    ((_, block),) = layout.blocks(5)
    assert np.array_equal(block, data)
    assert read_pdebench(path.rename(tmp_path / "2D_CFD_Eta1_Zeta1.h5")).missing


def test_a_dam_break_is_open_and_read_field_first(tmp_path):
    path = dam_break(tmp_path / "2D_rdb_NA_NA.h5")
    layout = read_pdebench(path)
    assert (layout.equation, layout.fields.names, layout.missing) == ("shallow_water", ("h",), "")
    assert {axis.low for axis in layout.fields.grid.axes} == {OPEN}
    ((_, block),) = layout.blocks(3, (slice(None, None, 2), slice(None, None, 3), slice(None, None, 2)))
    with h5py.File(path) as file:
        for index in range(3):
            assert np.array_equal(block[index, :, 0], file[f"{index:04d}/data"][::2, ::3, ::2, 0])


@needs_real
def test_pdebenchs_reaction_diffusion_is_read(tmp_path):
    layout = read_pdebench(REACTION)
    assert (layout.equation, layout.num_trajectories, layout.num_frames) == ("diff_react", 4, 101)
    assert (
        {axis.low for axis in layout.fields.grid.axes}
        == {axis.high for axis in layout.fields.grid.axes}
        == {WALL}
    )
    assert layout.fields.grid.extent == (2.0, 2.0)
    assert layout.fields.grid.origin == (-1.0, -1.0)
    assert layout.fields.dt == 0.05
    (_, first), *_ = layout.blocks(4)
    with h5py.File(REACTION) as file:
        assert np.array_equal(first[0], np.moveaxis(file["0000/data"][:], -1, 1))
    # no flux: the activator's mean changes by its reaction alone, du = u - u^3 - k - v with k = .005 (the label's law)
    u, v = first[0, 20:60, 0].astype(np.float64), first[0, 20:60, 1].astype(np.float64)
    change = (u - u**3 - 0.005 - v).mean((1, 2))
    by_simpson = (change[:-2:2] + 4 * change[1:-1:2] + change[2::2]) * 0.05 / 3
    assert np.allclose(np.diff(u.mean((1, 2))[::2]), by_simpson, rtol=0, atol=2e-5)


def _missing(path):
    return "no such file"


def _text(path):
    path.write_text("nu = 0.001\n" * 100)
    return "not an HDF5 file"


def _folder(path):
    path.mkdir()
    return "."


def _truncated(path):
    burgers(path, num=50)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return "damaged"


def _other_names(path):
    with h5py.File(path, "w") as file:
        file["velocity"], file["time"] = np.zeros((2, 3, 4)), np.zeros(3)
    return "no dataset tensor; the file has time, velocity"


def _no_grid(path):
    with h5py.File(path, "w") as file:
        file["tensor"], file.attrs["Nu"] = np.zeros((2, 3, 4)), 1.0
    return "no dataset t-coordinate, x-coordinate; the file has tensor"


def _no_trajectory(path):
    write(path, {"tensor": np.zeros((0, 4, 8), np.float32)}, {"Nu": 1.0})
    return "empty"


def _too_few_times(path):
    write(path, {"tensor": values()[:, :, 0]}, {"Nu": 1.0}, extra_time=-1)
    return "t-coordinate has shape (4,) for 5 frames"


def _time_stands_still(path):
    write(path, {"tensor": values()[:, :, 0]}, {"Nu": 1.0}, dt=0.0)
    return "t-coordinate does not increase"


def _stretched_grid(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        file["x-coordinate"][:] = np.linspace(0, 1, 16) ** 2
    return "x-coordinate is not a uniform"


def _no_parameter(path):
    write(path, {"tensor": values()[:, :, 0]}, {"rho": 1.0})
    return "no parameter Nu"


def _several_values(path):
    write(path, {"tensor": values()[:, :, 0]}, {"Nu": [0.001, 0.1]})
    return "attribute Nu is [0.001 0.1"


def _bad_parameter(value):
    def plant(path):
        write(path, {"tensor": values()[:, :, 0]}, {"Nu": value})
        return "Nu is "

    plant.__name__ = f"_parameter_{value!r}"
    return plant


def _negative(path):
    write(path, {"tensor": values()[:, :, 0]}, {"Nu": -1.0})
    return "Nu is negative"


def _parameter_not_finite_for_one(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        file["nu"] = [0.1, np.nan, 0.1, 0.1, 0.1, 0.1]
    return "nu is nan"


def _complex(path):
    write(path, {"tensor": values()[:, :, 0] * 1j}, {"Nu": 1.0})
    return "tensor is complex"


def _words(path):
    write(path, {"tensor": np.full((2, 3, 4), b"u")}, {"Nu": 1.0})
    return "tensor holds |S1, not numbers"


def _word_coordinate(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        del file["x-coordinate"]
        file["x-coordinate"] = [b"a"] * 16
    return "x-coordinate holds object, not numbers"


def _scalar_coordinate(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        del file["x-coordinate"]
        file["x-coordinate"] = 1.0
    return "x-coordinate"


def _late_nan(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        file["t-coordinate"][-1] = np.nan
    return "t-coordinate holds NaN"


def _tiny_domain(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        x = file["x-coordinate"][:].astype(np.float64) * 1e-300
        del file["x-coordinate"]
        file["x-coordinate"] = x
    return "spans 1e-300"


def _foreign_record(path):
    burgers(path)
    with h5py.File(path, "a") as file:
        file.attrs["fields"] = '{"each": 3}'
    return "'fields' is not what"


def _record_of_other_fields(path):
    dam_break(path)
    with h5py.File(path, "a") as file:
        sides = '["wall", "wall", "1"]'
        file.attrs["fields"] = (
            f'{{"each": [{{"name": "u"}}, {{"name": "v"}}], "axes": {{"x": {sides}, "y": {sides}}}}}'
        )
    return "1 fields where its record has 2"


def _steady(path):
    write(path, {"tensor": np.zeros((3, 1, 8, 8), np.float32)}, {"beta": 1.0})
    with h5py.File(path, "a") as file:
        del file["t-coordinate"]
        file["y-coordinate"] = (np.arange(8) + 0.5) / 8
    return "trajectories are needed"


def _no_second_axis(path):
    write(path, {"tensor": np.zeros((3, 2, 8, 8), np.float32)}, {"beta": 1.0})
    return "no dataset y-coordinate"


def _groups_of_other_shapes(path):
    dam_break(path)
    with h5py.File(path, "a") as file:
        del file["0001/data"]
        file["0001/data"] = np.zeros((5, 6, 5, 1))
    return "0001/data has shape (5, 6, 5, 1)"


FAULTS = [
    _missing,
    _text,
    _folder,
    _truncated,
    _other_names,
    _no_grid,
    _no_trajectory,
    _too_few_times,
    _time_stands_still,
    _stretched_grid,
    _no_parameter,
    _several_values,
    *(_bad_parameter(value) for value in (np.nan, np.inf, 1e300, "abc", 1j, h5py.Empty("f8"), [])),
    _negative,
    _parameter_not_finite_for_one,
    _complex,
    _words,
    _word_coordinate,
    _scalar_coordinate,
    _late_nan,
    _tiny_domain,
    _foreign_record,
    _record_of_other_fields,
    _steady,
    _no_second_axis,
    _groups_of_other_shapes,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_is_told_in_one_line_that_names_the_file(tmp_path, plant):
    path = tmp_path / "file.hdf5"
    expected = plant(path)
    with pytest.raises(UserError) as error:
        read_pdebench(path)
    assert is_one_line_about(error, path)
    assert expected in str(error.value)
