import math
import os
from pathlib import Path

import h5py
import pytest
import torch

from ups.solvers import exact
from ups.solvers.equations import Burgers, Heat, KuramotoSivashinsky
from ups.solvers.initial import clean, pdebench_like
from ups.solvers.solve import solve
from ups.streams import stream

SHARED = Path(__file__).parents[3] / "shared/data/pdebench/full/1D_Burgers_Sols_Nu0.001.hdf5"
PDEBENCH = Path(os.environ.get("UPS_PDEBENCH_FULL", SHARED))


def relative(a, b):
    return (a - b).norm(dim=-1) / b.norm(dim=-1)


def test_the_first_frame_is_the_initial_one_and_the_others_are_at_their_times():
    u0 = clean(3, 64, 2.0, stream(0, "solve"))
    times = torch.tensor([1.0, 1.1, 1.5])
    result = solve(Heat(0.03), u0, times, 2.0)
    assert torch.equal(result[:, 0], u0)
    torch.testing.assert_close(
        result[:, :, 0], exact.heat(u0[:, 0], times.double() - 1.0, 0.03, 2.0), rtol=0, atol=1e-12
    )


def test_frames_between_do_not_change_what_comes_later():
    u0 = pdebench_like(4, 256, 1.0, stream(1, "solve"))
    few = solve(Burgers(0.01), u0, torch.tensor([0.0, 0.4]), 1.0)
    many = solve(Burgers(0.01), u0, torch.linspace(0, 0.4, 9), 1.0)
    assert relative(few[:, -1], many[:, -1]).max() < 5e-3


def test_single_precision_in_is_double_precision_out():
    u0 = clean(2, 64, 1.0, stream(2, "solve")).float()
    assert solve(Heat(0.1), u0, torch.tensor([0.0, 0.1]), 1.0).dtype == torch.float64


def test_refining_costs_cells_and_buys_accuracy():
    u0 = pdebench_like(8, 256, 1.0, stream(3, "solve"))
    times = torch.tensor([0.0, 0.2, 0.4])
    truth = exact.burgers(u0[:, 0], times, 0.01, 1.0)
    errors = [
        relative(solve(Burgers(0.01), u0, times, 1.0, refine=refine)[:, 1:, 0], truth[:, 1:]).mean().item()
        for refine in (1, 2)
    ]
    assert errors[1] < errors[0] / 2.5


def test_progress_counts_to_one():
    fractions = []
    solve(Heat(0.1), torch.zeros(1, 1, 16), torch.linspace(0, 1, 6), 1.0, progress=fractions.append)
    assert fractions == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_times_that_stand_still_are_refused():
    with pytest.raises(ValueError, match="increase"):
        solve(Heat(0.1), torch.zeros(1, 1, 16), torch.tensor([0.0, 0.1, 0.1]), 1.0)


def test_a_solution_that_is_not_finite_is_refused():
    u0 = torch.full((1, 1, 16), math.nan)
    with pytest.raises(ValueError, match="finite"):
        solve(KuramotoSivashinsky(), u0, torch.tensor([0.0, 0.1]), 22.0)


@pytest.mark.parametrize("nu", [0.001, 0.01, 0.1, 1.0])
def test_random_burgers_agrees_with_cole_and_hopf(nu):
    u0 = pdebench_like(6, 512, 1.0, stream(4, "solve"))
    times = torch.tensor([0.0, 0.05, 0.3, 1.0])
    truth = exact.burgers(u0[:, 0], times, nu, 1.0)
    error = relative(solve(Burgers(nu), u0, times, 1.0)[:, 1:, 0], truth[:, 1:])
    assert error.mean() < (4e-3 if nu == 0.001 else 3e-4)


def test_the_solver_stays_within_its_bound_of_pdebench_and_nearer_to_the_truth():
    if not PDEBENCH.is_file():
        pytest.skip("needs PDEBench's full Burgers file (UPS_PDEBENCH_FULL)")
    with h5py.File(PDEBENCH) as file:
        theirs = torch.from_numpy(file["tensor"][:, :101]).double()
    ours = solve(Burgers(0.001), theirs[:, :1], torch.arange(101) * 0.01, 1.0)[:, :, 0]
    assert relative(ours[:, 1:], theirs[:, 1:]).mean() < 1.4e-3
    frames = torch.tensor([20, 50, 100])
    truth = exact.burgers(theirs[:, 0], frames * 0.01, 0.001, 1.0)
    errors = [relative(solution[:, frames], truth).mean().item() for solution in (ours, theirs)]
    assert errors[0] < 0.8 * errors[1]
