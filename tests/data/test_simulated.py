import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from ups.config import override
from ups.data import simulated
from ups.data.pdebench import PDEBench, write_pdebench
from ups.data.simulated import Simulated
from ups.data.splits import initial_hashes
from ups.solvers import equations as solvers
from ups.solvers import exact
from ups.solvers.equations import Burgers
from ups.solvers.solve import solve
from ups.solvers.stepper import Coarse
from ups.types import WALL, UserError, line

EQUATIONS = [*solvers.EQUATIONS]
SMALL = {"num_cells": 32, "solver_cells": 64, "num_frames": 4, "num_trajectories": 40}


def small(**changes):
    return Simulated(**{**SMALL, **changes})


def small_of(equation, **changes):
    """On a line, or on a plane where the equation needs one."""
    if not solvers.EQUATIONS[equation].obstacle(line(32)):
        return small(equation=equation, **changes)
    return small(equation=equation, **{"num_cells": (32, 32), "solver_cells": (32, 32), **changes})


@pytest.mark.parametrize("equation", EQUATIONS)
def test_fewer_trajectories_are_a_prefix_of_more(tmp_path, equation):
    settings = small_of(equation, num_trajectories=70, warmup=1.0)
    if equation == "fisher_kpp":
        settings = override(settings, ["rho=[1, 2, 5]"])
    more = settings.load(tmp_path)
    fewer = settings.model_copy(update={"num_trajectories": 33}).load(tmp_path)
    assert torch.equal(fewer.values, more.values[:33])
    assert torch.equal(fewer.params, more.params[:33])


@pytest.mark.parametrize("equation", EQUATIONS)
def test_every_equation_makes_float32_that_varies_and_conserves_what_it_says(tmp_path, equation):
    data = small_of(equation).load(tmp_path)
    assert data.values.dtype == data.params.dtype == torch.float32
    assert data.values.shape == (40, 4, len(data.fields), *data.fields.grid.shape)
    assert len(set(initial_hashes(data.values))) == 40
    assert (data.values[:, 1:] - data.values[:, :-1]).flatten(1).abs().amax(1).min() > 1e-3
    mean = data.values.double().flatten(3).mean(3)
    drift = (mean - mean[:, :1]).abs().max()
    if data.fields.conserved and equation != "burgers":  # samples of shocks on a coarse grid do drift
        assert drift < 1e-5
    elif equation == "fisher_kpp":
        assert drift > 0.01
        assert data.values.min() > -1e-3


def test_values_are_the_solvers_strided_solution(tmp_path):
    settings = small(nu=0.05, solver_cells=128)
    data = settings.load(tmp_path)
    whole = small(nu=0.05, num_cells=128, solver_cells=128).load(tmp_path)
    assert torch.equal(data.values, whole.values[..., ::4])
    again = solve(Burgers(0.05), whole.values[:3, 0], 0.05 * torch.arange(4), 1.0).float()
    assert (again - whole.values[:3]).abs().max() < 1e-5
    points = [each.fields.grid.axes[0].centres()[0].item() for each in (data, whole)]
    assert points[0] == pytest.approx(points[1])


def test_warmup_time_passes_before_frame_0(tmp_path):
    late = small(equation="heat", warmup=0.1, num_frames=2).load(tmp_path)
    all_of_it = small(equation="heat", warmup=0.0).load(tmp_path)
    assert torch.allclose(late.values, all_of_it.values[:, 2:], atol=1e-6)


def test_parameters_are_drawn_for_each_trajectory_from_the_given_values(tmp_path):
    data = small(
        equation="fisher_kpp", nu=(0.001, 0.01), rho=(1.0, 2.0, 3.0), num_trajectories=600, num_frames=1
    )
    params = data.load(tmp_path).params
    combinations, counts = torch.unique(params, dim=0, return_counts=True)
    assert len(combinations) == 6
    assert ((counts - 100.0).square() / 100).sum() < 23  # 5 degrees of freedom: p = 3e-4


def test_parameters_between_two_values_fill_the_range(tmp_path):
    data = small(
        equation="fisher_kpp", nu=(0.001, 0.01), rho=2.0, between=True, num_trajectories=600, num_frames=1
    )
    nu, rho = data.load(tmp_path).params.double().unbind(1)
    assert (rho == 2).all()
    counts = torch.histc(nu, bins=10, min=0.001, max=0.01)
    assert counts.sum() == 600
    assert ((counts - 60).square() / 60).sum() < 30  # 9 degrees of freedom: p = 4e-4


def test_white_noise_is_pdebench_s_row_by_row_and_a_finer_solver_starts_from_the_same(tmp_path):
    how = {"equation": "fitzhugh_nagumo", "num_cells": (16, 16), "boundary": "wall", "num_frames": 3}
    data = Simulated(num_trajectories=34, **how).load(tmp_path)
    for row in (0, 33):
        expected = np.random.default_rng(row).standard_normal((2, 16, 16))
        torch.testing.assert_close(data.values[row, 0].double(), torch.tensor(expected), rtol=0, atol=1e-6)
    finer = Simulated(num_trajectories=34, solver_cells=(32, 32), **how).load(tmp_path)
    torch.testing.assert_close(finer.values[:, 0], data.values[:, 0], rtol=0, atol=1e-6)
    assert finer.fields.grid == data.fields.grid
    assert 0.01 < (finer.values[:, 2] - data.values[:, 2]).norm() / data.values[:, 2].norm() < 0.5
    other = Simulated(num_trajectories=1, seed=1, **how).load(tmp_path)
    expected = np.random.default_rng(1_000_000).standard_normal((2, 16, 16))
    torch.testing.assert_close(other.values[0, 0].double(), torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"equation": "gray_scott", "initial": "clean"}, "2 fields"),
        ({"equation": "heat", "initial": "seeds"}, "1 fields"),
        ({"equation": "heat", "initial": "pdebench_noise"}, "does not start heat"),
        ({"equation": "gray_scott", "offset": 0.1}, "offset"),
        ({"equation": "vorticity"}, "periodic plane"),
        ({"equation": "vorticity", "num_cells": (16, 16), "boundary": "wall"}, "periodic plane"),
        ({"nu": (0.1, 0.2), "between": True, "shared_initial": True}, "between"),
        ({"equation": "vorticity", "num_cells": (16, 16), "feed": 0.1}, "no parameter feed"),
    ],
)
def test_what_cannot_be_simulated_is_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        Simulated(**settings)


def test_shared_initial_conditions_repeat_for_every_parameter(tmp_path):
    data = small(nu=(0.01, 0.1, 1.0), shared_initial=True, num_trajectories=70).load(tmp_path)
    alone = small(nu=0.1).load(tmp_path)
    assert data.params[:6, 0].tolist() == pytest.approx([0.01, 0.1, 1.0] * 2)
    assert torch.equal(data.values[0:69:3, 0], data.values[2:69:3, 0])
    assert torch.equal(data.values[1::3], alone.values[:23])


def test_another_seed_gives_other_data(tmp_path):
    first, second = (set(initial_hashes(small(seed=seed).load(tmp_path).values)) for seed in (0, 1))
    assert not first & second


def test_the_cache_is_read_and_a_harmed_one_is_made_again(tmp_path, monkeypatch):
    settings = small()
    expected = settings.load(tmp_path).values
    (path,) = (tmp_path / "simulated").iterdir()
    good = path.read_bytes()

    calls = []
    make = Simulated._make
    monkeypatch.setattr(Simulated, "_make", lambda self, progress: calls.append(1) or make(self, progress))
    assert torch.equal(settings.load(tmp_path).values, expected)
    assert not calls

    flipped = bytearray(good)
    flipped[-100] ^= 1
    for harmed in (good[: len(good) // 2], b"", bytes(flipped), b"\0" * len(good)):
        path.write_bytes(harmed)
        assert torch.equal(settings.load(tmp_path).values, expected)
        assert path.read_bytes() == good
    assert len(calls) == 4

    monkeypatch.setattr(simulated, "GENERATOR", -1)
    settings.load(tmp_path)
    assert len(calls) == 5


def test_what_is_spelt_out_and_what_is_left_open_share_a_cache(tmp_path):
    small().load(tmp_path)
    small(nu=0.001, dt=0.05, initial="pdebench_like", extent=1.0).load(tmp_path)
    assert len(list((tmp_path / "simulated").iterdir())) == 1


def test_an_interruption_leaves_nothing(tmp_path):
    def interrupt(fraction, text):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small().load(tmp_path, progress=interrupt)
    assert not list(tmp_path.rglob("*.*"))


def test_progress_rises_to_one(tmp_path):
    seen = []
    small().load(tmp_path, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_another_process_makes_the_same_bits(tmp_path):
    code = (
        "import hashlib, sys; from pathlib import Path; from ups.data.simulated import Simulated\n"
        f"values = Simulated(**{SMALL}).load(Path(sys.argv[1])).values\n"
        "print(hashlib.sha256(values.numpy()).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "there"], capture_output=True, text=True, check=True
    )
    here = hashlib.sha256(np.ascontiguousarray(small().load(tmp_path / "here").values.numpy())).hexdigest()
    assert there.stdout.strip() == here


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["equation=advection", "nu=0.1"], "advection has no parameter nu"),
        (["equation=burger"], "burgers"),
        (["nu=-1"], "nu must be finite and not negative"),
        (["solver_cells=1000"], "solver_cells=1000 is no multiple of num_cells=256"),
        (["num_trajectories=0"], "num_trajectories"),
        (["viscosity=1"], "no such setting"),
    ],
)
def test_impossible_settings_are_one_line(assignments, words):
    with pytest.raises(UserError) as error:
        override(Simulated(), assignments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_one_number_is_a_list_of_one_on_the_command_line():
    assert override(Simulated(), ["nu=0.001"]).nu == (0.001,)
    assert override(Simulated(), ["nu=[0.001, 1]"]).nu == (0.001, 1.0)


def test_a_solution_that_blows_up_is_the_users_to_know(tmp_path):
    with pytest.raises(UserError, match="advection") as error:
        small(equation="advection", speed=1e308, dt=1e3).load(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_classical_solver_takes_the_data_as_they_are(tmp_path, equation):
    of_planes = equation in ("vorticity", "fitzhugh_nagumo")
    settings = small_of(equation, **{"num_trajectories": 4} if of_planes else {"num_cells": 64})
    data = settings.load(tmp_path)
    start = 2 if equation == "fitzhugh_nagumo" else 0  # white noise is another field on another grid
    stepper = Coarse(settings.equation_class, data.fields, 2 * data.fields.grid.shape[0])
    state = stepper.advance(stepper.encode(data.values[:, start : start + 1], data.params))
    before, after = data.values[:, start], data.values[:, start + 1]
    assert (stepper.decode(state) - after).norm() < 0.2 * (before - after).norm()


def test_made_data_written_to_a_file_are_the_same_data(tmp_path):
    settings = small(nu=(0.01, 0.1))
    data = settings.load(tmp_path)
    write_pdebench(tmp_path / "a.h5", data.values, data.fields, data.params, equation=settings.equation)
    source = PDEBench(file=tmp_path / "a.h5")
    assert torch.equal(source.load().values, data.values)
    assert torch.equal(source.load().params, data.params)
    assert source.load().fields == data.fields
    assert source.equation_class is settings.equation_class


def plane(**changes):
    how = {"equation": "heat", "num_cells": (20, 12), "boundary": {"y": "wall"}, "extent": (1.0, 0.7)}
    return Simulated(**{"num_frames": 3, "num_trajectories": 40, **how, **changes})


@pytest.mark.parametrize("equation", ["heat", "fisher_kpp", "allen_cahn", "swift_hohenberg"])
def test_a_plane_with_walls_is_solved_on_its_own_grid(tmp_path, equation):
    settings = plane(equation=equation)
    data = settings.load(tmp_path)
    grid = data.fields.grid
    assert data.values.shape == (40, 3, 1, 20, 12)
    assert (grid.extent, grid.axes[0].is_periodic, grid.axes[1].low) == ((1.0, 0.7), True, WALL)
    names = data.fields.params
    kind = settings.equation_class(**dict(zip(names, data.params.double().unbind(1), strict=True)))
    again = solve(
        kind, data.values[:, 0].double(), data.fields.dt * torch.arange(3, dtype=torch.float64), grid
    )
    torch.testing.assert_close(again.float(), data.values, rtol=0, atol=1e-4)
    mean = data.values.double().mean((2, 3, 4))
    assert ((mean - mean[:, :1]).abs().max() < 1e-6) == bool(data.fields.conserved)


def test_more_trajectories_of_a_plane_continue_those_that_there_were(tmp_path):
    more = plane(num_trajectories=70).load(tmp_path)
    assert torch.equal(plane(num_trajectories=33).load(tmp_path).values, more.values[:33])


def test_every_nth_cell_of_a_finer_plane_is_kept_where_it_lies(tmp_path):
    settings = plane(boundary="periodic", solver_cells=(40, 36))
    data = settings.load(tmp_path)
    whole = plane(boundary="periodic", num_cells=(40, 36)).load(tmp_path)
    assert torch.equal(data.values, whole.values[..., ::2, ::3])
    for kept, axis, fine in zip((2, 3), data.fields.grid.axes, whole.fields.grid.axes, strict=True):
        torch.testing.assert_close(axis.centres(), fine.centres()[::kept])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"equation": "burgers"}, "needs a periodic line"),
        ({"boundary": "open"}, "periodic or lie between walls"),
        ({"boundary": {"z": "wall"}}, "the axes are x, y"),
        ({"solver_cells": (40, 24)}, "between walls"),
        ({"solver_cells": (40,)}, "no multiple"),
        ({"extent": (1.0, 1.0, 1.0)}, "3 lengths for 2 axes"),
        ({"initial": "pdebench_like"}, "a law of lines"),
        ({"num_cells": (8, 8, 8, 8)}, "num_cells"),
    ],
)
def test_planes_that_cannot_be_are_refused_in_one_line(changes, message):
    with pytest.raises((ValueError, UserError), match=message):
        plane(**changes)


def test_the_error_of_the_truth_falls_with_the_order_of_its_solver():
    # Burgers' scheme is of second order, but of first at extrema, which its limiter clips; spectral ones are exact
    few = {"equation": "burgers", "nu": 0.5, "initial": "clean", "num_cells": 32, "num_frames": 6}
    coarse, fine = (Simulated(**few, solver_cells=cells).truth_floor() for cells in (64, 128))
    assert 2 < coarse / fine < 4.5
    assert 1e-5 < fine < 1e-2
    assert Simulated(equation="heat", num_cells=64, num_frames=6).truth_floor() < 1e-12
    walled = {"num_cells": (24, 20), "boundary": {"x": "periodic", "y": "wall"}, "num_frames": 6}
    assert Simulated(equation="heat", **walled).truth_floor() < 1e-12


def test_the_error_of_the_truth_is_that_against_cole_and_hopf(tmp_path):
    settings = Simulated(
        equation="burgers", nu=0.5, initial="clean", num_cells=64, solver_cells=64, num_frames=6
    )
    frames = settings.load(tmp_path).values[:8, :, 0].double()
    truth = exact.burgers(frames[:, 0], 0.05 * torch.arange(1, 6), 0.5, 1.0, refine=16)
    error = ((frames[:, 1:] - truth).norm(dim=2) / truth.norm(dim=2)).mean().item()
    # an error that falls ninefold with three times the cells is 9/8 of the step from one grid to the other
    assert settings.truth_floor() == pytest.approx(8 / 9 * error, rel=0.1)


def test_where_the_solver_is_the_law_the_truth_has_no_error_to_state():
    assert Simulated(forcing={}, num_cells=32).truth_floor() is None
    assert Simulated(equation="allen_cahn", rest={}, num_cells=32).truth_floor() is None
