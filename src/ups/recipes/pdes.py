"""The other 1D equations, a few minutes each: the law that is in the data, and what a network adds to it."""

from __future__ import annotations

from ups.config import merge
from ups.data.rest import Rest
from ups.data.simulated import Simulated
from ups.data.symmetries import Symmetry
from ups.models.baselines import TunedFNO
from ups.models.corrector import CorrectorSettings
from ups.models.law_network import LawNetwork
from ups.models.mean_operator import Mean
from ups.models.operator import SpectralFlux
from ups.models.residual_nets import ParametersAlone, SpectralLocal
from ups.runs.settings import Run
from ups.search.settings import SearchSettings
from ups.training.settings import Fit


def advection() -> Run:
    """A profile that moves and keeps its shape."""
    return _run(Simulated(equation="advection", num_trajectories=300), ("shift",))


def heat() -> Run:
    """Decay of every wave at its own rate."""
    return _run(Simulated(equation="heat", num_trajectories=300), ("shift", "reflect"))


def kuramoto_sivashinsky() -> Run:
    """Chaos: every forecast fails in the end, the question is when."""
    data = Simulated(equation="kuramoto_sivashinsky", num_trajectories=300)
    return _run(data, ("shift", "reflect_odd"), seconds=180.0)


def chaos() -> Run:
    """Kuramoto-Sivashinsky past its predictability: there the mean of an ensemble beats any single forecast."""
    training = Fit(
        seconds=120.0,
        # one step ahead: the best forecast of what cannot be known is none, and many steps would teach that
        unroll=((0.0, 1),),
        noise=0.01,
        symmetries=("shift", "reflect_odd"),
        ema_decay=0.99,
    )
    return Run(
        data=Simulated(
            equation="kuramoto_sivashinsky",
            num_trajectories=400,
            num_frames=101,
            num_cells=(64,),
            solver_cells=(128,),
        ),
        operator=SpectralFlux(modes=24),
        corrector=CorrectorSettings(network=SpectralLocal(num_blocks=3, modes=24), num_steps=4),
        solver_cells=(32, 64, 128),
        training=training,
        corrector_training=training.model_copy(update={"noise": 0.0}),
    )


def searched() -> Run:
    """Kuramoto-Sivashinsky a quarter unit of time ahead, where the residual of the equation knows the error."""
    return merge(
        chaos(),
        {
            "data": {
                "num_trajectories": 400,
                "num_frames": 61,
                "num_cells": 64,
                "solver_cells": 64,
                "dt": 0.25,
            },
            "search": SearchSettings().model_dump(),
        },
    )


def fisher_kpp() -> Run:
    """Fronts that invade; PDEBench's reaction-diffusion."""
    return _run(Simulated(equation="fisher_kpp", num_trajectories=300), ("shift", "reflect"))


def steady() -> Run:
    """Where Allen-Cahn comes to rest, given nu alone: a prior over steady states, against climatology."""
    training = Fit(
        seconds=120.0, unroll=((0.0, 1),), symmetries=("shift", "reflect", "reflect_odd"), ema_decay=0.99
    )
    data = Simulated(
        equation="allen_cahn",
        nu=(0.002, 0.004, 0.01),
        offset=0.5,
        rest=Rest(),
        num_cells=(64,),
        num_trajectories=1200,
    )
    return Run(
        data=data,
        operator=Mean(),
        corrector=CorrectorSettings(network=ParametersAlone(), predicts="edm"),
        training=training,
        corrector_training=training,
    )


def steady_from_initial() -> Run:
    """The same prior told the initial frame too, from which the steady state follows."""
    return merge(steady(), {"corrector": {"network": {"kind": "spectral_local"}}})


def _run(data: Simulated, symmetries: tuple[Symmetry, ...], seconds: float = 60.0) -> Run:
    training = Fit(seconds=seconds, symmetries=symmetries, ema_decay=0.99)
    return Run(data=data, operator=LawNetwork(), baselines={"tuned_fno": TunedFNO()}, training=training)
