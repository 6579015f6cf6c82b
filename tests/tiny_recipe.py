"""A run of seconds: one line, one small operator, one small baseline."""

from ups.data.controlled import Controlled
from ups.data.rest import Rest
from ups.data.simulated import Simulated
from ups.models.autoencoder import IdentityPatches
from ups.models.baselines import TunedFNO
from ups.models.corrector import CorrectorSettings
from ups.models.dynamics import DynamicsSettings
from ups.models.mean_operator import Mean
from ups.models.operator import SpectralFlux, SpectralRate
from ups.models.residual_nets import ParametersAlone, SpectralLocal
from ups.models.stochastic import StochasticOperator
from ups.models.student import StudentSettings
from ups.runs.settings import Run
from ups.search.settings import SearchSettings
from ups.solvers.kicks import Kicks
from ups.training.settings import Fit


def tiny() -> Run:
    """Advection on 32 cells."""
    return Run(
        data=Simulated(equation="advection", num_trajectories=40, num_cells=32, num_frames=14),
        operator=SpectralFlux(width=8, num_blocks=1, modes=4, kernel_size=3),
        baselines={"tuned_fno": TunedFNO(num_context=2, width=8, modes=4)},
        solver_cells=(8, 16, 32),
        training=Fit(updates=60, batch_size=8, unroll=((0.0, 1), (0.5, 2)), num_validations=2, warmup=5),
    )


def kicked() -> Run:
    """Kicked Burgers on 32 cells, with everything that stands on the operator."""
    once = Fit(updates=30, batch_size=8, unroll=((0.0, 1),), num_validations=2, warmup=5)
    return Run(
        data=Simulated(nu=0.01, forcing=Kicks(), num_trajectories=40, num_cells=32, num_frames=14),
        operator=SpectralFlux(width=8, num_blocks=1, modes=4, kernel_size=3),
        baselines={
            "crps_operator": StochasticOperator(
                width=8, num_blocks=1, modes=4, kernel_size=3, unroll=((0.0, 1),)
            )
        },
        corrector=CorrectorSettings(
            network=SpectralLocal(width=8, num_blocks=1, modes=4, kernel_size=3), num_steps=2
        ),
        student=StudentSettings(teacher_steps=2),
        solver_cells=(32,),
        num_members=3,
        training=once,
        corrector_training=once,
        student_training=once,
    )


def channel() -> Run:
    """Heat on 12 x 10 cells, walled one way, with everything that stands on the operator."""
    once = Fit(updates=8, batch_size=8, unroll=((0.0, 1),), num_validations=1, warmup=2)
    return Run(
        data=Simulated.model_validate({
            "equation": "heat",
            "num_cells": (12, 10),
            "extent": (1.0, 0.8),
            "boundary": {"y": "wall"},
            "num_trajectories": 40,
            "num_frames": 12,
        }),
        operator=SpectralFlux(width=8, num_blocks=1, modes=4),
        corrector=CorrectorSettings(network=SpectralLocal(width=8, num_blocks=1, modes=4), num_steps=2),
        student=StudentSettings(teacher_steps=2),
        search=SearchSettings(num_candidates=3, force=True),
        solver_cells=(12,),
        num_members=3,
        training=once,
        corrector_training=once,
        student_training=once,
    )


def steady() -> Run:
    """A steady prior on 32 cells, told nothing but nu."""
    once = Fit(updates=30, batch_size=8, unroll=((0.0, 1),), num_validations=2, warmup=5)
    network = SpectralLocal(width=8, num_blocks=1, modes=4, kernel_size=3)
    return Run(
        data=Simulated(
            equation="allen_cahn",
            nu=(0.005, 0.01),
            offset=0.5,
            rest=Rest(),
            num_trajectories=40,
            num_cells=32,
        ),
        operator=Mean(),
        corrector=CorrectorSettings(network=ParametersAlone(network=network), num_steps=2),
        num_members=3,
        training=once,
        corrector_training=once,
    )


def world() -> Run:
    """A world model of heat with two actuators, on 32 cells."""
    once = Fit(updates=12, batch_size=4, unroll=((0.0, 1),), num_validations=2, warmup=2)
    return Run(
        data=Controlled(num_trajectories=40, num_frames=22, num_cells=(32,), equation="heat", nu=0.01),
        codec=IdentityPatches(patch_size=8),
        operator=SpectralRate(width=8, num_blocks=1, modes=2, kernel_size=3),
        dynamics=DynamicsSettings(hidden_dim=16, depth=2, num_levels=3, context=5),
        training=once,
        dynamics_training=once.model_copy(update={"unroll": ((0.0, 5),)}),
        num_members=3,
    )


def broken() -> int:
    return 3
