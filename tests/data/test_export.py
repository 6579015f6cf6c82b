from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from data_files import burgers, on_plane, trajectory
from well_files import write_by_specification

from messages import is_one_line_about
from ups.data.export import FORMATS, write_like, write_npz
from ups.data.find import source_for
from ups.types import UserError


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("data", [trajectory(), on_plane()], ids=["line", "plane"])
def test_every_format_gives_back_what_was_written(tmp_path, format, data):
    path = tmp_path / ("a.npz" if format == "npz" else "a.h5")
    FORMATS[format](path, data, "mine", {"members": torch.ones(6, 2)})
    source = source_for(path)
    again = source.load()
    assert torch.equal(again.values, data.values)
    assert torch.equal(again.params, data.params)
    assert again.fields == data.fields
    assert data.constants is None or torch.equal(again.constants, data.constants)
    assert source.layouts()[0].equation == "mine"


def test_a_chain_through_all_formats_changes_nothing(tmp_path):
    first = source_for(write_by_specification(tmp_path / "a.h5")).load()
    current = first
    for index, (format, write) in enumerate(FORMATS.items()):
        path = tmp_path / (f"{index}.npz" if format == "npz" else f"{index}.h5")
        write(path, current, "", None)
        current = source_for(path).load()
        assert torch.equal(current.values, first.values), format
        assert torch.equal(current.constants, first.constants), format
        assert current.fields == first.fields, format


def test_a_forecast_is_written_in_the_format_of_its_input(tmp_path):
    data = trajectory()
    np.savez(tmp_path / "in.npz", u=np.zeros((3, 4, 5)))
    inputs = (burgers(tmp_path / "in.h5"), write_by_specification(tmp_path / "well.h5"), tmp_path / "in.npz")
    for source, kind in zip(inputs, ("pdebench", "well", "arrays"), strict=True):
        source = source_for(source, ["dims=sample time x", "equation=heat"] if kind == "arrays" else [])
        write_like(source, tmp_path / f"{kind}.out", data, {"members": torch.ones(6, 3)})
        again = source_for(tmp_path / f"{kind}.out")
        assert again.kind == kind
        assert again.layouts()[0].equation == {"pdebench": "burgers", "well": "", "arrays": "heat"}[kind]
        assert torch.equal(again.load().values, data.values)
    with h5py.File(tmp_path / "pdebench.out") as file:
        assert file["members"].shape == (6, 3)


def test_an_npz_holds_plain_arrays(tmp_path):
    data = on_plane()
    write_npz(tmp_path / "a.npz", data)
    with np.load(tmp_path / "a.npz") as file:
        assert set(file) == {
            *("density", "velocity_x", "velocity_y", "nu", "kappa", "depth"),
            *("x-coordinate", "y-coordinate", "t-coordinate", "fields"),
        }
        for place, name in enumerate(data.fields.names):
            assert np.array_equal(file[name], data.values[:, :, place])
        assert np.array_equal(file["nu"], data.params[:, 0])


def test_what_cannot_be_written_is_one_line(tmp_path):
    for format, write in FORMATS.items():
        path = tmp_path / "nowhere" / f"a.{format}"
        with pytest.raises(UserError) as error:
            write(path, trajectory(), "", None)
        assert is_one_line_about(error, path)


def test_names_that_would_stand_twice_are_refused(tmp_path):
    data = trajectory()
    fields = replace(data.fields, params=("u",))
    with pytest.raises(UserError, match="stand twice"):
        write_npz(tmp_path / "a.npz", replace(data, fields=fields))
