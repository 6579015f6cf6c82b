"""The discrete residual vanishes on solutions, to its order, and frames are moved back onto them."""

import inspect
from dataclasses import replace

import pytest
import torch

from ups.data.simulated import Simulated
from ups.models.autoencoder import IdentityPatches
from ups.models.emulator import Emulator
from ups.models.law_operator import Law
from ups.models.normalizer import fit_normalizer
from ups.models.step_residual import of_equation, of_law
from ups.solvers.equations import EQUATIONS
from ups.streams import stream
from ups.training.start import look_at
from ups.types import Trajectory

SETTINGS = {
    "heat": {"num_cells": 32, "dt": 0.5},
    "advection": {"num_cells": 64, "dt": 0.05},
    "kuramoto_sivashinsky": {"num_cells": 64, "solver_cells": 128, "dt": 0.25, "warmup": 20.0},
    "korteweg_de_vries": {"num_cells": 64, "dt": 0.01},
    "allen_cahn": {"num_cells": (24, 24), "dt": 0.1},
    "vorticity": {"num_cells": (32, 32), "dt": 0.1},
    "gray_scott": {"num_cells": (32, 32), "solver_cells": (32, 32), "dt": 1.0},
    "fitzhugh_nagumo": {"num_cells": (16, 16), "dt": 0.01},
}


def data(name, **changes):
    made = Simulated(equation=name, num_trajectories=4, **{"num_frames": 12} | SETTINGS[name] | changes)
    return made.load(), made


def of(made, trajectories):
    return of_equation(made.equation_class, trajectories.fields, made.solver_cells)


def size(frames):
    return frames.double().square().mean().sqrt().item()


@pytest.mark.parametrize("name", SETTINGS)
def test_solutions_have_next_to_no_residual_and_disturbed_ones_have(name, cache):
    known, made = data(name)
    residual = of(made, known)
    before, after = known.values[:, -2], known.values[:, -1]
    change = size(after - before)
    step = size(residual.step(before, after, known.params))
    assert step < 0.01 * change
    noise = torch.randn(after.shape, generator=stream(0, "noise"))
    smooth = 0.1 * change * (noise + noise.roll(1, -1) + noise.roll(-1, -1)) / 3**0.5
    assert size(residual.step(before, after + smooth, known.params)) > 5 * step


def test_the_residual_falls_with_the_fourth_power_of_the_time_step(cache):
    known, made = data("allen_cahn", dt=0.4, num_frames=3, num_cells=(64,), nu=1e-4)
    before, found = known.values[:, 2].double(), []
    equation = EQUATIONS["allen_cahn"](nu=known.params[:, 0].double())
    for dt in (0.4, 0.2, 0.1):
        after, advance = before[:, 0], equation.propagator(dt / 20, known.fields.grid)
        for _ in range(20):
            after = advance(after)
        residual = of_equation(made.equation_class, replace(known.fields, dt=dt))
        found.append(size(residual(before, after[:, None], known.params)))
    assert found[0] / found[1] == pytest.approx(16, rel=0.1)
    assert found[1] / found[2] == pytest.approx(16, rel=0.05)


@pytest.mark.parametrize("name", ["kuramoto_sivashinsky", "allen_cahn", "fitzhugh_nagumo"])
def test_frames_are_moved_back_onto_the_solution(name, cache):
    changes = {"solver_cells": 64} if name == "kuramoto_sivashinsky" else {}
    known, made = data(name, **changes)
    residual = of(made, known)
    before, after = known.values[:, -2], known.values[:, -1]
    wave = torch.cos(2 * torch.pi * torch.arange(after.shape[-1]) / after.shape[-1])
    wrong = after + 0.05 * size(after - before) * wave
    errors = [size(residual.corrected(before, wrong, known.params, steps) - after) for steps in (0, 1, 2)]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[0] / 10


def test_a_row_that_cannot_be_mended_is_left_as_it_is(cache):
    known, made = data("kuramoto_sivashinsky")
    residual = of(made, known)
    before = known.values[:, -2]
    wild = known.values[:, -1].clone()
    wild[0] = 50 * torch.randn(wild[0].shape, generator=stream(0, "wild"))
    moved = residual.corrected(before, wild, known.params, 2)
    sizes = [residual.step(before, frame, known.params).flatten(1).norm(dim=1) for frame in (wild, moved)]
    assert (sizes[1] <= sizes[0] * (1 + 1e-6)).all()
    assert moved.isfinite().all()


def test_a_law_read_off_the_data_has_the_same_residual_as_the_equation(cache):
    known, made = data("allen_cahn", num_cells=(32,), extent=1.0)
    more = Simulated(**made.model_dump() | {"num_trajectories": 40}).load()
    normalizer = fit_normalizer(more)
    codec = IdentityPatches().build(more.fields, torch.Generator())
    emulator = Emulator(normalizer, codec, Law().build(codec, more.fields, torch.Generator()), more.fields)
    look_at(emulator, more)
    law, equation = of_law(emulator), of(made, known)
    before, after = known.values[:, 3], known.values[:, 4]
    rate = equation.rate(before, known.params)
    assert size(law.rate(before, known.params) - rate) < 0.02 * size(rate)
    wrong = after + 0.1
    found = [residual(before, wrong, known.params) for residual in (law, equation)]
    assert size(found[0] - found[1]) < 0.03 * size(found[1])
    assert size(law.corrected(before, wrong, known.params, 2) - after) < 0.005


def test_what_does_not_say_what_it_is_made_of_has_no_residual():
    class Unknown:
        @staticmethod
        def obstacle(grid): ...

        def propagator(self, duration, grid): ...

    known, _ = data("heat")
    assert of_equation(Unknown, known.fields) is None


def test_parameters_of_each_row_enter(cache):
    made = Simulated(equation="heat", nu=(0.001, 0.1), shared_initial=True, num_trajectories=4, num_cells=32)
    known = made.load()
    assert "nu" in inspect.signature(made.equation_class).parameters
    residual = of(made, known)
    right = residual.step(known.values[:, 3], known.values[:, 4], known.params)
    swapped = residual.step(known.values[:, 3], known.values[:, 4], known.params.flip(0))
    assert size(swapped) > 100 * size(right)
    assert isinstance(known, Trajectory)
