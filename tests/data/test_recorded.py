import json

import pytest
from data_files import PLANE

from messages import is_one_line_about
from ups.data.recorded import record, recorded
from ups.types import OPEN, PERIODIC, WALL, Boundary, UserError


def test_what_is_recorded_is_read_again(tmp_path):
    found = recorded(tmp_path, record(PLANE, "mine", {"Nu": "nu"}), ("x", "y"))
    assert (found.equation, found.each, found.constants) == ("mine", PLANE.each, PLANE.constants)
    assert (found.sides("x"), found.sides("y")) == ((PERIODIC, PERIODIC), (WALL, OPEN))
    assert (found.axes["x"][2], found.time_unit, found.params) == ("m", "s", {"Nu": "nu"})


def test_a_boundary_keeps_its_value(tmp_path):
    axes = {"x": ("dirichlet(-0.5)", "neumann(2)", "1")}
    text = json.dumps({"each": [{"name": "u"}], "axes": axes})
    assert recorded(tmp_path, text).sides("x") == (Boundary("dirichlet", -0.5), Boundary("neumann", 2.0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        3,
        None,
        b"\xff",
        '{"each": [{"name": 3}], "axes": {}}',
        '{"each": [], "axes": {"x": ["wall", "nowhere", "1"]}}',
        '{"each": [], "axes": {"x": ["wall", "dirichlet(a)", "1"]}}',
        '{"each": [], "axes": {"y": ["wall", "wall", "1"]}}',
        '{"each": [], "axes": {"x": ["periodic", "wall", "1"]}}',
        '{"each": [], "axes": {"x": ["wall", "wall", "1"]}, "more": 1}',
    ],
)
def test_anything_else_is_one_line(tmp_path, text):
    with pytest.raises(UserError) as error:
        recorded(tmp_path / "a.h5", text, ("x",))
    assert is_one_line_about(error, tmp_path / "a.h5")
