import pytest

from ups.models.waves import flux_counts, require_scalars
from ups.types import WALL, Axis, Field, Fields, Grid, UserError


def test_a_conserved_field_needs_a_flux_an_axis():
    assert flux_counts([True, False, True], 3) == [3, 1, 3]


def test_a_vector_at_a_wall_is_refused():
    grid = Grid((Axis("x", 8, 1.0), Axis("y", 8, 1.0, 0.0, WALL, WALL)))
    each = (Field("vx", vector="v", axis="x"), Field("vy", vector="v", axis="y"))
    with pytest.raises(UserError, match="turn their sign at walls"):
        require_scalars(Fields(each, grid, 1.0), "operator")
    require_scalars(Fields((Field("u"),), grid, 1.0), "operator")
