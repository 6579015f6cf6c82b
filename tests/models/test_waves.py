import pytest
import torch

from ups.models.waves import flux_counts, means_that_move, require_scalars
from ups.streams import stream
from ups.types import WALL, Axis, Field, Fields, Grid, UserError


def test_a_conserved_field_needs_a_flux_an_axis():
    assert flux_counts([True, False, True], 3) == [3, 1, 3]


def test_a_mean_moves_if_it_does_in_any_trajectory_by_more_than_round_off():
    frames = torch.randn(5, 4, 3, 32, generator=stream(0, "frames"))
    frames = frames - frames.mean(3, keepdim=True) + 2.0  # up to round-off
    frames[3, 2, 1] += 0.01
    frames[:, :, 2] *= 1e-3
    assert means_that_move(frames).tolist() == [False, True, False]


def test_a_vector_at_a_wall_is_refused():
    grid = Grid((Axis("x", 8, 1.0), Axis("y", 8, 1.0, 0.0, WALL, WALL)))
    each = (Field("vx", vector="v", axis="x"), Field("vy", vector="v", axis="y"))
    with pytest.raises(UserError, match="turn their sign at walls"):
        require_scalars(Fields(each, grid, 1.0), "operator")
    require_scalars(Fields((Field("u"),), grid, 1.0), "operator")
