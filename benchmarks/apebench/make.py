"""Data of APEBench's one-dimensional scenarios, made by exponax, whose solver made theirs.

pip install exponax 'jax[cpu]' (in an environment of their own); python benchmarks/apebench/make.py FOLDER [NAME ...]

Each file NAME.npz has `train` [50, 51, 160] and `test` [30, 101, 160]: one step of ETDRK2 (or the exact step of a
linear law) a frame, so the labels of the nonlinear ones are those of a coarse scheme. Numbers and seeds are those of
APEBench's scenarios in difficulty mode (Koehler et al., arXiv:2411.00180): five random waves, not larger than 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import exponax as ex
import jax
import numpy as np

CELLS = 160
WAVES = ex.ic.RandomTruncatedFourierSeries(1, cutoff=5, max_one=True)
UNIT = ex.ic.ClampingICGenerator(
    ex.ic.RandomTruncatedFourierSeries(1, cutoff=5, offset_range=(-0.5, 0.5)), limits=(0.0, 1.0)
)
HOW = {"order": 2, "dealiasing_fraction": 2 / 3, "num_circle_points": 16, "circle_radius": 1.0}


def linear(*gammas: float):
    """Return the exact stepper of a linear law."""
    return ex.stepper.generic.DifficultyLinearStepper(1, CELLS, linear_difficulties=gammas)


def convection(delta: float, *gammas: float):
    """Return the stepper of a conservative convection, minus delta / 2 (u^2)_x."""
    return ex.stepper.generic.DifficultyConvectionStepper(
        1, CELLS, linear_difficulties=gammas, convection_difficulty=-delta, conservative=True, **HOW
    )


def nonlinear(deltas: tuple[float, float, float], *gammas: float):
    """Return the stepper with u^2, (u^2)_x and (u_x)^2."""
    return ex.stepper.generic.DifficultyNonlinearStepper(
        1, CELLS, linear_difficulties=gammas, nonlinear_difficulties=deltas, **HOW
    )


# name: stepper, initial law, steps before frame 0
SCENARIOS = {
    "diff_adv": (linear(0.0, -4.0), WAVES, 0),
    "diff_diff": (linear(0.0, 0.0, 4.0), WAVES, 0),
    "diff_adv_diff": (linear(0.0, -4.0, 4.0), WAVES, 0),
    "diff_disp": (linear(0.0, 0.0, 0.0, 4.0), WAVES, 0),
    "diff_hyp_diff": (linear(0.0, 0.0, 0.0, 0.0, -4.0), WAVES, 0),
    "diff_four": (linear(0.0, -4.0, 4.0, 4.0, -4.0), WAVES, 0),
    "diff_burgers": (convection(-1.5, 0.0, 0.0, 1.5), WAVES, 0),
    "diff_burgers_sc": (nonlinear((0.0, -1.5, 0.0), 0.0, 0.0, 1.5), WAVES, 0),
    "diff_kdv": (nonlinear((0.0, -2.0, 0.0), 0.0, 0.0, 0.0, -14.0, -9.0), WAVES, 0),
    "diff_ks_cons": (convection(-1.0, 0.0, 0.0, -2.0, 0.0, -18.0), WAVES, 500),
    "diff_ks": (nonlinear((0.0, 0.0, -6.0), 0.0, 0.0, -1.2, 0.0, -15.0), WAVES, 500),
    "diff_fisher": (nonlinear((-0.02, 0.0, 0.0), 0.02, 0.0, 0.2), UNIT, 0),
}


def trajectories(name: str, num: int, frames: int, seed: int) -> np.ndarray:
    """Return [trajectory, frame, cell] in float32."""
    stepper, law, skipped = SCENARIOS[name]
    first = ex.build_ic_set(law, num_points=CELLS, num_samples=num, key=jax.random.PRNGKey(seed))
    first = jax.vmap(ex.repeat(stepper, skipped))(first)
    return np.asarray(jax.vmap(ex.rollout(stepper, frames - 1, include_init=True))(first))[:, :, 0]


def main() -> None:
    """Write the named scenarios, or all."""
    folder, *names = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or SCENARIOS:
        train, test = trajectories(name, 50, 51, 0), trajectories(name, 30, 101, 773)
        np.savez(Path(folder) / f"{name}.npz", train=train, test=test)
        sys.stdout.write(f"{name}: largest {np.abs(train).max():.3g}, finite {np.isfinite(test).all()}\n")


main()
