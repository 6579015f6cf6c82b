import math
from dataclasses import replace

import pytest
import torch

from lines import on_line
from ups.solvers.equations import Advection, Burgers, FisherKPP, Heat, KuramotoSivashinsky
from ups.solvers.initial import clean, pdebench_like, waves
from ups.solvers.resampling import on_grid
from ups.solvers.solve import solve
from ups.solvers.stepper import Coarse, CoarseManifest
from ups.streams import stream
from ups.types import WALL, Axis, Grid, Stepper, UserError, line

FIELDS = on_line(
    names=("u",), units=("1",), extent=1.0, dt=0.05, params=("rho", "nu"), conserved=("u",), cells=128
)
PARAMS = torch.tensor([[9.0, 0.01], [9.0, 0.1]])


def context(num_cells=128):
    return pdebench_like(2, num_cells, 1.0, stream(0, "coarse"))[:, None].float()


def rollout(stepper, frames, num_steps, params=PARAMS):
    state = stepper.encode(frames, params)
    for _ in range(num_steps):
        state = stepper.advance(state)
    return stepper.decode(state)


def test_it_is_a_stepper():
    assert isinstance(Coarse(Burgers, FIELDS, 64), Stepper)


def test_at_the_native_resolution_it_is_the_solver_with_the_parameters_by_name():
    frames = context()
    result = rollout(Coarse(Burgers, FIELDS, 128), frames, 3)
    truth = solve(Burgers(PARAMS[:, 1]), frames[:, 0], torch.arange(4) * 0.05, 1.0)[:, 3]
    torch.testing.assert_close(result, truth.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_cells", [32, 128, 256, 300])
def test_the_mean_is_conserved_through_encode_advance_and_decode(num_cells):
    frames = context()
    result = rollout(Coarse(Burgers, FIELDS, num_cells), frames, 4)
    assert result.dtype == torch.float32
    assert result.shape == (2, 1, 128)
    assert (result.double().mean(-1) - frames[:, 0].double().mean(-1)).abs().max() < 1e-6


def test_more_cells_come_nearer_to_the_truth_below_and_above_the_native_grid():
    fine = pdebench_like(2, 2048, 1.0, stream(1, "coarse"))
    truth = solve(Burgers(PARAMS[:, 1]), fine, torch.arange(5) * 0.05, 1.0)[:, -1]
    block_mean = lambda u: u.reshape(2, 1, 128, 16).mean(-1)  # noqa: E731
    errors = []
    for num_cells in (32, 64, 128, 256):
        result = rollout(Coarse(Burgers, FIELDS, num_cells), block_mean(fine)[:, None].float(), 4)
        errors.append((result - block_mean(truth)).norm().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.7 * errors[2]


def test_it_reads_only_the_last_context_frame():
    frames = torch.cat([torch.full((2, 3, 1, 128), math.nan), context()], 1)
    stepper = Coarse(Burgers, FIELDS, 64)
    torch.testing.assert_close(rollout(stepper, frames, 1), rollout(stepper, frames[:, -1:], 1))


def test_rows_of_a_state_can_be_selected():
    stepper = Coarse(Burgers, FIELDS, 64)
    state = stepper.encode(context(), PARAMS)
    second = stepper.advance(type(state)(*(part[1:] for part in state)))
    torch.testing.assert_close(stepper.decode(second), stepper.decode(stepper.advance(state))[1:])


def test_other_equations_step_as_well():
    frames = clean(2, 96, 20.0, stream(2, "coarse"))[:, None].float()
    fields = replace(FIELDS, grid=line(96, 20.0), params=("speed",))
    moved = Coarse(Advection, fields, 96)
    state = moved.advance(moved.encode(frames, torch.full((2, 1), 20.0 * 24 / 96 / 0.05)))
    torch.testing.assert_close(moved.decode(state), frames[:, 0].roll(24, -1), rtol=0, atol=1e-5)
    chaotic = Coarse(KuramotoSivashinsky, replace(fields, params=()), 48)
    assert chaotic.decode(chaotic.advance(chaotic.encode(frames, torch.empty(2, 0)))).isfinite().all()


def test_data_without_the_parameters_are_refused_by_name():
    with pytest.raises(UserError, match="rho"):
        Coarse(FisherKPP, replace(FIELDS, params=("nu",)), 64)


def test_data_in_two_dimensions_are_refused():
    with pytest.raises(UserError, match="a periodic plane"):
        Coarse(Burgers, replace(FIELDS, grid=Grid((Axis("x", 8, 1.0), Axis("y", 6, 1.0)))), 64)


def test_strided_data_are_met_better_as_points_than_as_averages():
    # PDEBench's usual form: a fine grid of which every fourth sample is kept
    params = torch.full((2, 2), 0.001)
    u0 = pdebench_like(2, 1024, 1.0, stream(3, "coarse"))
    fine = solve(Burgers(0.001), u0, torch.arange(9) * 0.05, 1.0)
    data = fine[..., ::4].float()
    errors = []
    fields = replace(FIELDS, grid=line(256))
    for samples_are_points in (False, True):
        stepper = Coarse(Burgers, fields, 1024, samples_are_points)
        errors.append((rollout(stepper, data[:, :1], 8, params) - data[:, 8]).norm().item())
    assert errors[1] < errors[0] / 2


def test_points_come_back_from_encoding_and_decoding():
    frames = clean(2, 128, 1.0, stream(4, "coarse"))[:, None].float()
    stepper = Coarse(Burgers, FIELDS, 512, samples_are_points=True)
    decoded = stepper.decode(stepper.encode(frames, PARAMS))
    torch.testing.assert_close(decoded, frames[:, 0], rtol=0, atol=2e-4)


def walled_plane(cells=(24, 20)):
    return Grid((Axis("x", cells[0], 1.0), Axis("y", cells[1], 0.7, low=WALL, high=WALL)))


def test_a_plane_is_solved_on_cells_in_proportion_and_a_finer_grid_is_nearer_to_the_truth():
    fields = replace(FIELDS, grid=walled_plane(), params=("nu",))
    fine = walled_plane((96, 80))
    params = torch.tensor([[0.01], [0.03]])
    u0 = waves(2, fine, stream(5, "coarse"))
    truth = solve(Heat(params[:, 0]), u0, 0.05 * torch.arange(4), fine)
    data = on_grid(truth, fine, fields.grid).float()
    errors = []
    for cells in (6, 12, 24):
        stepper = Coarse(Heat, fields, cells)
        assert stepper.grid.shape == (cells, cells * 20 // 24)
        errors.append((rollout(stepper, data[:, :1], 3, params) - data[:, 3]).norm().item())
    assert errors[2] < errors[1] / 4 < errors[0] / 8, errors


def test_a_plane_read_as_points_comes_back():
    fields = replace(FIELDS, grid=walled_plane())
    frames = waves(2, fields.grid, stream(6, "coarse"))[:, None].float()
    stepper = Coarse(Heat, fields, 96, samples_are_points=True)
    decoded = stepper.decode(stepper.encode(frames, PARAMS))
    torch.testing.assert_close(decoded, frames[:, 0], rtol=0, atol=5e-3)


def test_a_solver_is_built_again_from_what_it_saved():
    fields = replace(FIELDS, grid=walled_plane(), params=("nu",))
    stepper = Coarse(Heat, fields, 12)
    again = CoarseManifest.model_validate_json(stepper.manifest().model_dump_json()).build()
    frames = waves(2, fields.grid, stream(7, "coarse"))[:, None].float()
    params = torch.full((2, 1), 0.01)
    assert torch.equal(rollout(stepper, frames, 2, params), rollout(again, frames, 2, params))


def test_a_bad_first_frame_is_forgotten_and_a_good_one_is_kept():
    """Frames pull the state: of a fine state that starts where fronts are already, and of one that starts smooth."""
    params = torch.full((8, 2), 0.001)
    u0 = pdebench_like(8, 1024, 1.0, stream(8, "coarse"))
    data = solve(Burgers(0.001), u0, torch.arange(31) * 0.05, 1.0)[..., ::4].float()
    fields = replace(FIELDS, grid=line(256))
    stepper = Coarse(Burgers, fields, 1024, samples_are_points=True)
    assert stepper.frames_read == 10
    errors = {}
    for start in (0, 15):
        context, truth = data[:, start : start + 10], data[:, start + 14]
        for name, shown in (("all", context), ("last", context[:, -1:])):
            errors[start, name] = (rollout(stepper, shown, 5, params) - truth).norm().item()
        state = stepper.encode(context[:, :1], params)
        for _ in range(14):
            state = stepper.advance(state)
        errors[start, "first"] = (stepper.decode(state) - truth).norm().item()
    assert errors[15, "all"] < 0.7 * errors[15, "first"], errors
    assert errors[0, "all"] < 1.3 * min(errors[0, "first"], errors[0, "last"]), errors


def test_a_context_that_the_solver_made_itself_pulls_nothing():
    stepper = Coarse(Burgers, replace(FIELDS, grid=line(64)), 256, samples_are_points=True)
    frame = clean(2, 64, 1.0, stream(9, "coarse")).float()
    state = stepper.encode(frame[:, None], PARAMS)
    frames = [frame]
    for _ in range(3):
        state = stepper.advance(state)
        frames.append(stepper.decode(state))
    again = stepper.encode(torch.stack(frames, 1), PARAMS)
    torch.testing.assert_close(again.averages, state.averages, rtol=0, atol=1e-5)
