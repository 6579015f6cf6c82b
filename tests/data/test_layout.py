import h5py
import numpy as np
import pytest
from data_files import burgers, values, write

from messages import is_one_line_about
from ups.data import layout as layout_module
from ups.data.layout import opened, read_layout
from ups.types import UserError


def test_the_parameter_comes_from_the_attribute_before_the_name(tmp_path):
    layout = read_layout(burgers(tmp_path / "1D_Burgers_Sols_Nu0.5.hdf5", nu=0.02))
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
    layout = read_layout(write(tmp_path / name, {"tensor": values()[:, :, 0]}, attrs))
    assert layout.equation == equation
    assert dict(zip(layout.fields.params, layout.params[0].tolist(), strict=True)) == pytest.approx(params)


@pytest.mark.parametrize(("boundary", "expected"), [("periodic", "periodic"), ("trans", "open")])
def test_compressible_flow_has_three_fields_in_pdebench_order(tmp_path, boundary, expected):
    parts = {name: values(seed=i)[:, :, 0] for i, name in enumerate(("density", "pressure", "Vx"))}
    path = write(tmp_path / f"1D_CFD_Rand_Eta1.e-8_Zeta1.e-3_{boundary}_Train.hdf5", parts)
    layout = read_layout(path)
    assert layout.fields.names == ("density", "pressure", "Vx")
    assert layout.fields.boundary == expected
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
    layout = read_layout(path)
    assert layout.fields.boundary == "wall"
    assert layout.fields.dt == 125
    assert layout.params.shape == (6, 0)
    ((_, block),) = layout.blocks(6, 2, 4)
    assert np.array_equal(block, data[:, ::2, :, ::4])


def test_the_grid_is_cells_around_its_points(tmp_path):
    fields = read_layout(
        write(tmp_path / "burgers.h5", {"tensor": values()[:, :, 0]}, {"Nu": 1}, extent=16.0)
    ).fields
    assert fields.extent == (16.0,)
    assert fields.origin == (0.0,)
    assert fields.dt == 0.01


def test_blocks_join_to_the_whole_and_hold_no_more_than_their_share(tmp_path, monkeypatch):
    data = values(num=11)
    layout = read_layout(write(tmp_path / "burgers.h5", {"tensor": data[:, :, 0]}, {"Nu": 1}))
    monkeypatch.setattr(layout_module, "BLOCK_BYTES", 8 * 16 * 5 * 3)
    blocks = dict(layout.blocks(10, 2, 4))
    assert list(blocks) == [0, 3, 6, 9]
    assert np.array_equal(np.concatenate(list(blocks.values())), data[:10, ::2, :, ::4])


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
    return "no dataset x-coordinate, t-coordinate; the file has tensor"


def _two_dimensions(path):
    write(path, {"tensor": np.zeros((3, 1, 8, 8), np.float32)}, {"beta": 1.0})
    return "tensor has shape (3, 1, 8, 8), expected"


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


def _unknown_equation(path):
    write(path, {"tensor": values()[:, :, 0]})
    return "unknown equation"


FAULTS = [
    _missing,
    _text,
    _folder,
    _truncated,
    _other_names,
    _no_grid,
    _two_dimensions,
    _no_trajectory,
    _too_few_times,
    _time_stands_still,
    _stretched_grid,
    _no_parameter,
    _unknown_equation,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_is_told_in_one_line_that_names_the_file(tmp_path, plant):
    path = tmp_path / "file.hdf5"
    expected = plant(path)
    with pytest.raises(UserError) as error:
        read_layout(path)
    assert is_one_line_about(error, path)
    assert expected in str(error.value)


def test_a_forbidden_file_is_told_as_such(tmp_path, monkeypatch):
    path = burgers(tmp_path / "burgers.h5")

    def forbid(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", forbid)
    with pytest.raises(UserError, match="permission denied") as error, opened(path):
        pass
    assert is_one_line_about(error, path)
