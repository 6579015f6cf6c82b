from pathlib import Path

import pytest

from ups.config import Settings, override
from ups.data.boundaries import Boundaries, boundary, bounded
from ups.types import OPEN, PERIODIC, WALL, Axis, Boundary, UserError


class Example(Settings):
    boundary: Boundaries = {}


AXES = (Axis("x", 4, 1.0), Axis("y", 3, 1.0))


def on(text):
    """The boundaries of x and y as the command line gives them."""
    axes, missing = bounded(Path("a.h5"), AXES, override(Example(), [f"boundary={text}"]).boundary, set())
    assert not missing
    return [(axis.low, axis.high) for axis in axes]


def test_one_word_is_for_all_sides():
    assert on("wall") == [(WALL, WALL), (WALL, WALL)]
    assert on("periodic") == [(PERIODIC, PERIODIC)] * 2


def test_each_axis_and_each_side_may_differ():
    assert on("{x: periodic, y: [wall, open]}") == [(PERIODIC, PERIODIC), (WALL, OPEN)]
    assert on("{x: [dirichlet(0.5), neumann(-2)], y: Dirichlet}") == [
        (Boundary("dirichlet", 0.5), Boundary("neumann", -2.0)),
        (Boundary("dirichlet"), Boundary("dirichlet")),
    ]


def test_settings_survive_their_own_json():
    chosen = override(Example(), ["boundary={x: periodic, y: [wall, dirichlet(3)]}"])
    assert Example(**chosen.model_dump(mode="json")) == chosen
    assert Example().boundary == {}


@pytest.mark.parametrize(
    "text",
    [
        "round",
        "{x: periodic, y: [periodic, wall]}",
        "{x: 3}",
        "[wall, wall, wall]",
        "dirichlet(.inf)",
        "dirichlet(a)",
    ],
)
def test_what_is_no_boundary_is_one_line(text):
    with pytest.raises(UserError) as error:
        override(Example(), [f"boundary={text}"])
    assert "\n" not in str(error.value)
    assert "boundary" in str(error.value)


def test_what_the_file_does_not_tell_is_asked_for_axis_by_axis():
    axes, missing = bounded(Path("a.h5"), AXES, {"y": ("wall", "open")}, set())
    assert (axes[1].low, axes[1].high) == (WALL, OPEN)
    assert missing.startswith("a.h5: what holds at the ends of x is not recorded")
    assert bounded(Path("a.h5"), AXES, {}, {"x"})[1].startswith("a.h5: what holds at the ends of y ")
    assert bounded(Path("a.h5"), AXES, {}, None) == (AXES, "")


def test_a_boundary_of_no_axis_is_the_users_fault():
    with pytest.raises(UserError, match=r"a\.h5: boundary of z, but the axes are x, y"):
        bounded(Path("a.h5"), AXES, {"z": ("wall", "wall")})


def test_words_are_those_that_boundaries_print():
    for one in (PERIODIC, WALL, OPEN, Boundary("dirichlet", 0.25), Boundary("neumann", -1.5)):
        assert boundary(str(one)) == one
