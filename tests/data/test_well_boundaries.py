import h5py
import numpy as np
import pytest

from messages import is_one_line_about
from ups.data.hdf5 import opened
from ups.data.well_boundaries import sides
from ups.types import OPEN, PERIODIC, WALL, UserError

AXES, CELLS = ("x", "y"), (6, 4)


def ends(n, low=True, high=True):
    mask = np.zeros(n, bool)
    mask[0], mask[-1] = low, high
    return mask


def face(axis, *places):
    """A mask over the whole domain that covers the faces of one axis."""
    mask = np.zeros(CELLS, bool)
    for place in places:
        mask[(slice(None),) * AXES.index(axis) + (place,)] = True
    return mask


def found(path, *conditions):
    """Write (type, dims, mask, attributes) and return what is told of the axes, and notes."""
    with h5py.File(path, "w") as file:
        group = file.create_group("boundary_conditions")
        for index, (kind, dims, mask, *more) in enumerate(conditions):
            one = group.create_group(f"c{index}")
            one.attrs.update({"bc_type": kind, "associated_dims": dims, "associated_fields": []})
            one.attrs.update({"sample_varying": False, "time_varying": False} | (more[0] if more else {}))
            if mask is not None:
                one["mask"] = mask
    with opened(path) as file:
        return sides(path, file, AXES, CELLS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def test_types_are_told_in_any_case_and_dims_as_a_list_or_a_word_of_text_or_bytes(path):
    told, notes = found(
        path,
        ("PERIODIC", "x", ends(6)),
        ("wall", [b"y"], ends(4, high=False)),
        (b"Open", ["y"], ends(4, low=False)),
    )
    assert told == {"x": (PERIODIC, PERIODIC), "y": (WALL, OPEN)}
    assert notes == []


def test_masks_over_the_plane_meet_in_the_corners(path):
    told, _ = found(path, ("WALL", AXES, face("y", 0, -1)), ("OPEN", AXES, face("x", 0, -1)))
    assert told == {"x": (OPEN, OPEN), "y": (WALL, WALL)}


def test_a_mask_of_all_sides_is_one_condition(path):
    told, notes = found(path, ("WALL", AXES, face("x", 0, -1) | face("y", 0, -1)))
    assert told == {"x": (WALL, WALL), "y": (WALL, WALL)}
    assert notes == []


def test_dims_in_another_order_turn_the_mask(path):
    told, _ = found(path, ("WALL", ("y", "x"), (face("x", 0, -1) | face("y", 0, -1)).T))
    assert told == {"x": (WALL, WALL), "y": (WALL, WALL)}


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [("PERIODIC", ["x"], np.zeros(6, bool))],  # the official example writes this by mistake
        [("WALL", ["x"], ends(6, high=False))],
        [("PERIODIC", ["x"], ends(6, high=False)), ("WALL", ["x"], ends(6, low=False))],
        [("WALL", ["x"], ends(6)), ("OPEN", ["x"], ends(6))],
        [("WALL", AXES, np.pad(np.ones((1, 2), bool), ((0, 5), (1, 1))) & (np.arange(4) < 2))],
    ],
)
def test_what_the_masks_do_not_tell_is_not_guessed(path, conditions):
    assert "x" not in found(path, *conditions)[0]


def test_other_types_and_obstacles_are_told_as_not_used(path):
    mask = face("x", 0, -1)
    mask[3, 1] = True
    told, notes = found(path, ("WALL", AXES, mask), ("NOSLIP", ["y"], ends(4)))
    assert told == {"x": (WALL, WALL)}
    assert notes == [
        "boundary condition c0 inside the domain (1 cells)",
        "boundary condition c1 of type 'noslip'",
    ]


def test_masks_for_each_sample_must_be_alike(path):
    varying = {"sample_varying": True}
    told, _ = found(path, ("WALL", ["x"], np.stack([ends(6)] * 3), varying), ("OPEN", ["y"], ends(4)))
    assert told["x"] == (WALL, WALL)
    with pytest.raises(UserError) as error:
        found(path, ("WALL", ["x"], np.stack([ends(6), ends(6, high=False)]), varying))
    assert is_one_line_about(error, path)


@pytest.mark.parametrize(
    "condition",
    [
        ("WALL", ["z"], ends(6)),
        ("WALL", [], ends(6)),
        ("WALL", ["x", "x"], np.ones((6, 6), bool)),
        ("WALL", ["x"], ends(4)),
        ("WALL", ["x"], None),
        ("WALL", ["x"], np.array([b"a"] * 6)),
        ("WALL", ["x"], ends(6), {"sample_varying": "maybe"}),
        ("WALL", 3.0, ends(6)),
    ],
)
def test_a_mask_that_does_not_fit_is_one_line(path, condition):
    with pytest.raises(UserError) as error:
        found(path, condition)
    assert is_one_line_about(error, path)
