import time
from itertools import product

import pytest
import torch

from lines import on_its_grid, on_line
from ups.data.symmetries import MAX_BOOST, augment
from ups.solvers.equations import Burgers, FisherKPP, Heat, KuramotoSivashinsky
from ups.solvers.initial import clean, waves
from ups.solvers.solve import solve
from ups.streams import stream
from ups.types import OPEN, WALL, Axis, Field, Fields, Grid, Trajectory, UserError

CELLS = 64


def solved(equation, extent=1.0, dt=0.05, num=40, frames=5, scale=1.0):
    initial = scale * clean(num, CELLS, extent, stream(0, "initial"))
    values = solve(equation, initial, dt * torch.arange(frames), extent)
    return on_its_grid(values, torch.zeros(num, 0), on_line(("u",), ("1",), extent, dt, cells=CELLS))


@pytest.mark.parametrize(
    ("equation", "symmetries", "tolerance"),
    [
        (Burgers(0.01), ("shift", "reflect_odd"), 1e-12),
        (Heat(0.01), ("shift", "reflect", "reflect_odd"), 1e-12),
        (FisherKPP(0.01, 1.0), ("shift", "reflect"), 1e-10),
        (KuramotoSivashinsky(), ("shift", "reflect_odd"), 1e-8),
    ],
)
def test_transforming_and_solving_commute(equation, symmetries, tolerance):
    extent = 32.0 if isinstance(equation, KuramotoSivashinsky) else 1.0
    data = solved(equation, extent)
    moved = augment(data, symmetries, stream(0, "augment"))
    again = solve(equation, moved.values[:, 0], 0.05 * torch.arange(5), extent)
    assert (moved.values - data.values).abs().amax((1, 2, 3)).gt(1e-3).float().mean() > 0.7
    assert (again - moved.values).abs().max() < tolerance


@pytest.mark.parametrize(
    ("equation", "extent", "dt", "tolerance"),
    [(Burgers(0.3), 1.0, 0.05, 3e-3), (KuramotoSivashinsky(), 32.0, 0.25, 1e-4)],
)
def test_a_galilean_boost_commutes_with_the_solver_up_to_its_error(equation, extent, dt, tolerance):
    data = solved(equation, extent, dt, frames=4)
    moved = augment(data, ["galilean"], stream(0, "augment"))
    again = solve(equation, moved.values[:, 0], dt * torch.arange(4), extent)
    assert (moved.values[:, 1:] - data.values[:, 1:]).abs().max() > 0.5
    assert (again - moved.values).norm() / moved.values.norm() < tolerance


def test_a_boost_shifts_frame_k_by_k_times_as_many_cells_and_adds_its_speed():
    ramp = torch.arange(16.0).expand(60, 4, 1, 16).clone()
    data = on_its_grid(ramp, torch.zeros(60, 0), on_line(("u",), ("1",), 8.0, 0.25, cells=16))
    moved = augment(data, ["galilean"], stream(3, "augment")).values
    speeds = set()
    for window in moved:
        speed = (window[0] - ramp[0, 0])[0, 0].item()
        cells = speed * 0.25 / 0.5
        assert cells == int(cells)
        speeds.add(int(cells))
        for frame in range(4):
            assert torch.equal(window[frame] - speed, ramp[0, 0].roll(int(cells) * frame, dims=-1))
    assert speeds == set(range(-MAX_BOOST, MAX_BOOST + 1))


def test_the_same_element_moves_every_frame_and_field_of_a_window():
    data = torch.randn(30, 5, 3, 16, generator=stream(0, "data"))
    fields = on_line(("a", "b", "c"), ("1",) * 3, 1.0, 0.1, cells=16)
    moved = augment(
        on_its_grid(data, torch.zeros(30, 0), fields), ("shift", "reflect_odd"), stream(0, "a")
    ).values
    for before, after in zip(data, moved, strict=True):
        images = [before.roll(k, -1) for k in range(16)] + [-before.flip(-1).roll(k, -1) for k in range(16)]
        assert sum(torch.equal(after, image) for image in images) == 1


def test_shifts_are_uniform_and_reflections_fair():
    delta = torch.zeros(20_000, 1, 1, 10)
    delta[..., 0] = 1.0
    data = on_its_grid(delta, torch.zeros(20_000, 0), on_line(("u",), ("1",), 1.0, 0.1, cells=16))
    moved = augment(data, ("shift", "reflect_odd"), stream(0, "augment")).values
    counts = moved.abs().sum((0, 1, 2))
    assert ((counts - 2000).square() / 2000).sum() < 30  # 9 degrees of freedom: p = 4e-4
    assert abs(moved.sum() / 20_000) < 0.03  # 4 standard deviations


def test_no_symmetry_leaves_the_batch_and_the_generator_alone():
    data = solved(Heat(0.01))
    generator = stream(0, "augment")
    state = generator.get_state()
    assert augment(data, (), generator) is data
    assert torch.equal(generator.get_state(), state)


def test_the_order_of_names_does_not_matter():
    data = solved(Heat(0.01))
    one = augment(data, ("shift", "reflect"), stream(0, "augment")).values
    assert torch.equal(one, augment(data, ("reflect", "shift"), stream(0, "augment")).values)


def test_unknown_symmetries_and_walls_are_errors():
    data = solved(Heat(0.01), frames=2)
    with pytest.raises(UserError, match="did you mean 'reflect"):
        augment(data, ["reflect_od"], stream(0, "augment"))
    walls = on_its_grid(data.values, data.params, on_line(("u",), ("1",), 1.0, 0.1, boundary=WALL, cells=16))
    with pytest.raises(UserError, match="wall"):
        augment(walls, ["shift"], stream(0, "augment"))


def test_a_training_batch_takes_a_few_milliseconds_at_most():
    data = on_its_grid(
        torch.zeros(50, 7, 1, 256), torch.zeros(50, 0), on_line(("u",), ("1",), 1.0, 0.1, cells=16)
    )
    seconds = []
    for count in range(30):
        start = time.perf_counter()
        augment(data, ("shift", "reflect_odd"), stream(0, "augment", count))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 5e-3


PLANES = [
    Grid((Axis("x", 12, 1.0), Axis("y", 10, 0.7))),
    Grid((Axis("x", 12, 1.0, low=WALL, high=WALL), Axis("y", 10, 0.7))),
]


@pytest.mark.parametrize("grid", PLANES, ids=["periodic", "x walled"])
@pytest.mark.parametrize("equation", [Heat(0.01), FisherKPP(0.01, 1.0)], ids=["heat", "fisher"])
def test_transforming_and_solving_commute_on_planes(equation, grid):
    values = solve(equation, waves(40, grid, stream(0, "initial")), 0.05 * torch.arange(4), grid)
    data = Trajectory(values, torch.zeros(40, 0), Fields((Field("u"),), grid, 0.05))
    moved = augment(data, ("shift", "reflect"), stream(0, "augment"))
    again = solve(equation, moved.values[:, 0], 0.05 * torch.arange(4), grid)
    assert (moved.values - values).abs().amax((1, 2, 3, 4)).gt(1e-3).float().mean() > 0.9
    assert (again - moved.values).abs().max() < 1e-10


def test_every_move_of_a_plane_is_one_of_its_group_and_turns_the_components_of_a_vector():
    grid = Grid((Axis("x", 3, 1.0, low=WALL, high=WALL), Axis("y", 4, 1.0)))
    each = (Field("p"), Field("a", vector="velocity", axis="x"), Field("b", vector="velocity", axis="y"))
    data = torch.randn(200, 2, 3, 3, 4, generator=stream(0, "data"))
    batch = Trajectory(data, torch.zeros(200, 0), Fields(each, grid, 0.1))
    moved = augment(batch, ("shift", "reflect"), stream(0, "augment")).values
    seen = set()
    for before, after in zip(data, moved, strict=True):
        images = {}
        for shift, flip_x, flip_y in product(range(4), (False, True), (False, True)):
            image = before.flip(-2) if flip_x else before
            image = (image.flip(-1) if flip_y else image).roll(shift, -1).clone()
            image[:, 1] *= -1 if flip_x else 1
            image[:, 2] *= -1 if flip_y else 1
            images[shift, flip_x, flip_y] = image
        (found,) = [key for key, image in images.items() if torch.equal(image, after)]
        seen.add(found)
    assert len(seen) == 16


def test_a_domain_that_breaks_a_symmetry_is_said():
    walled = Grid((Axis("x", 8, 1.0, low=WALL, high=OPEN),))
    data = Trajectory(torch.zeros(1, 2, 1, 8), torch.zeros(1, 0), Fields((Field("u"),), walled, 0.1))
    for name in ("shift", "reflect", "reflect_odd", "galilean"):
        with pytest.raises(UserError, match=f"do not have '{name}'.*x wall to open"):
            augment(data, [name], stream(0, "augment"))
    fields = Fields((Field("u"),), PLANES[0], 0.1, constants=(Field("mask"),))
    held = Trajectory(torch.zeros(1, 2, 1, 12, 10), torch.zeros(1, 0), fields, torch.zeros(1, 1, 12, 10))
    with pytest.raises(UserError, match="mask of the data do not change"):
        augment(held, ["shift"], stream(0, "augment"))
