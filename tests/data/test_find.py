import h5py
import numpy as np
import pytest
from data_files import burgers, dam_break, on_plane
from well_files import write_by_specification

from ups.data.arrays import Arrays
from ups.data.find import source_for
from ups.data.pdebench import PDEBench, write_pdebench
from ups.data.well import Well
from ups.types import UserError


def test_each_format_finds_its_reader(tmp_path):
    plane = on_plane()
    write_pdebench(tmp_path / "plane.h5", plane.values, plane.fields, plane.params)
    np.savez(tmp_path / "a.npz", u=np.zeros((3, 4, 5)))
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["u"] = np.zeros((3, 4, 5))
    for path, kind in (
        (burgers(tmp_path / "a.h5"), PDEBench),
        (dam_break(tmp_path / "2D_rdb_NA_NA.h5"), PDEBench),
        (tmp_path / "plane.h5", PDEBench),
        (write_by_specification(tmp_path / "well.h5"), Well),
        (tmp_path / "a.npz", Arrays),
        (tmp_path / "mine.h5", Arrays),
    ):
        source = source_for(path)
        assert type(source) is kind
        assert source.file == (path,)


def test_settings_choose_and_go_to_the_reader(tmp_path):
    path = burgers(tmp_path / "a.h5")
    assert source_for(path, ["stride_space=4", "boundary=wall"]) == PDEBench(
        file=path, stride_space=4, boundary="wall"
    )
    assert type(source_for(path, ["dims=sample time x"])) is Arrays
    assert type(source_for(path, ["kind=arrays", "kind=well"])) is Well
    assert source_for([path, path]).file == (path, path)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["kind=wells"], "did you mean 'well'"),
        (["dim=3"], "no such setting"),
        (["boundary=no"], "write boundary="),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, settings, expected):
    with pytest.raises(UserError, match=expected) as error:
        source_for(burgers(tmp_path / "a.h5"), settings)
    assert "\n" not in str(error.value)


def test_no_file_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        source_for(tmp_path / "a.h5")
    with pytest.raises(UserError, match="no file is given"):
        source_for([])
