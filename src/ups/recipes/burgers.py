"""1D Burgers: shocks form, merge and decay; the hardest classic for networks that smooth."""

from __future__ import annotations

from ups.config import merge
from ups.data.pdebench import PDEBench
from ups.data.simulated import Simulated
from ups.models.autoencoder import Convolutional
from ups.models.baselines import DilatedResNet, PDEBenchFNO, TunedFNO, UNet
from ups.models.corrector import CorrectorSettings
from ups.models.flux_law import FluxLaw
from ups.models.noise import BetaTimes
from ups.models.operator import SpectralFlux, SpectralRate, UTransformer
from ups.models.refined import Refined
from ups.models.residual_nets import TokenMLP
from ups.models.stochastic import StochasticOperator
from ups.models.student import StudentSettings
from ups.runs.settings import Run
from ups.search.settings import SearchSettings
from ups.solvers.kicks import Kicks
from ups.training.settings import Fit


def quick() -> Run:
    """Minutes on two cores: data from our solver, the operator and four baselines, as much work for each."""
    return Run(
        data=Simulated(equation="burgers", nu=(0.001,), num_trajectories=400),
        codec=Refined(),
        operator=FluxLaw(),
        baselines=_baselines(),
        training=_training().model_copy(update={"seconds": None, "updates": 30}),
        # so that each has as much work, about 40 s of one core: fixed numbers, so that the table is always the same
        pace={"pdebench_fno": 11.5, "unet": 3.8, "dilated_resnet": 1.65, "tuned_fno": 7.4},
    )


def reference() -> Run:
    """PDEBench's file (give data.file=PATH) with ten minutes for the operator and for each baseline."""
    return Run(
        data=PDEBench(),
        codec=Refined(factor=4),
        operator=FluxLaw(),
        baselines=_baselines(),
        training=_training(seconds=600.0),
    )


def network() -> Run:
    """The reference with an operator that assumes no law: a network that predicts the flux from one frame."""
    return Run(data=PDEBench(), operator=SpectralFlux(), training=_training(seconds=600.0))


def latent() -> Run:
    """Half the numbers: a trained codec of 32 tokens of 4 for 256 cells, an operator on them, the codec alone."""
    return Run(
        data=Simulated(equation="burgers", nu=(0.001,), num_trajectories=400),
        codec=Convolutional(num_levels=3, dim=4),
        operator=SpectralRate(width=48),
        baselines={"tuned_fno": TunedFNO()},
        codec_training=Fit(seconds=120.0, unroll=((0.0, 1),), symmetries=("shift",)),
        training=_training(seconds=120.0),
    )


def viscosities() -> Run:
    """One operator for five viscosities from 0.001 to 1, told which one it is in."""
    return Run(
        data=Simulated(equation="burgers", nu=(0.001, 0.01, 0.1, 0.4, 1.0), num_trajectories=800),
        codec=Refined(),
        operator=FluxLaw(),
        baselines={"tuned_fno": TunedFNO()},
        training=_training(seconds=120.0),
    )


def kicked() -> Run:
    """Random kicks: operator, corrector and student against the perfect ensemble, noise and a CRPS operator."""
    return Run(
        data=Simulated(nu=(0.01,), forcing=Kicks(), num_trajectories=800, num_frames=21, num_cells=(128,)),
        baselines={"crps_operator": StochasticOperator()},
        corrector=CorrectorSettings(),
        student=StudentSettings(),
        solver_cells=(128,),
        training=_training(seconds=150.0).model_copy(update={"unroll": ((0.0, 1),)}),
        corrector_training=_generative(seconds=420.0),
        student_training=_generative(seconds=240.0),
    )


def golden() -> Run:
    """The source system's golden settings in their right form: 32 trained tokens of 16 numbers, a true corrector."""
    once = _training(seconds=1.0).model_copy(
        update={"seconds": None, "unroll": ((0.0, 1),), "ema_decay": 0.999}
    )
    adamw = once.model_copy(update={"optimizer": "adamw"})
    return Run(
        data=Simulated(equation="burgers", nu=(0.001,), num_trajectories=400),
        codec=Convolutional(num_levels=3, dim=16),
        operator=UTransformer(hidden_dim=96, num_heads=6, depths=(1, 1, 1), group_size=32),
        corrector=CorrectorSettings(
            network=TokenMLP(hidden_dim=96, depth=3), time_law=BetaTimes(a=1.2, b=1.2), rolled_steps=3
        ),
        codec_training=once.model_copy(update={"updates": _epochs(10)}),
        training=adamw.model_copy(
            update={
                "updates": _epochs(25),
                "learning_rate": 1e-3,
                "schedule": "constant",
                "weight_decay": 0.03,
            }
        ),
        corrector_training=adamw.model_copy(
            update={"updates": _epochs(8), "learning_rate": 5e-5, "weight_decay": 0.015}
        ),
    )


def light() -> Run:
    """Golden with a corrector that is trained less: 3 epochs at 2e-5."""
    return merge(
        golden(),
        {
            "corrector_training": {"updates": _epochs(3), "learning_rate": 2e-5, "weight_decay": 0.05},
        },
    )


def golden_v2() -> Run:
    """Light with an operator on a cosine schedule, tighter clipping, and stratified noise levels."""
    return merge(
        light(),
        {
            "training": {"schedule": "cosine", "weight_decay": 0.01, "clip": 0.5},
            "corrector": {"time_law": {"kind": "stratified"}},
            "corrector_training": {"clip": 0.5},
        },
    )


def search_light() -> Run:
    """Golden with a search: 8 candidates a frame, the best 3 looked 2 frames ahead, 150 calls of networks."""
    search = SearchSettings(num_candidates=8, beam=3, horizon=2, max_calls=150)
    return merge(golden(), {"corrector": {"num_steps": 2}, "search": search.model_dump()})


def search_aggressive() -> Run:
    """Golden with a larger search: 16 candidates a frame, the best 5 looked 3 frames ahead, 300 calls."""
    search = SearchSettings(num_candidates=16, beam=5, horizon=3, max_calls=300)
    return merge(golden(), {"corrector": {"num_steps": 2}, "search": search.model_dump()})


def lean32() -> Run:
    """Golden with twice the numbers in a token: 32 tokens of 32."""
    return merge(golden(), {"codec": {"dim": 32}})


def capacity64() -> Run:
    """Golden with 64 tokens of 64 numbers, width 128, two blocks a level."""
    return merge(
        golden(),
        {
            "codec": {"num_levels": 2, "dim": 64},
            "operator": {"hidden_dim": 128, "num_heads": 8, "depths": (2, 2, 2)},
        },
    )


def capacity128() -> Run:
    """Golden with 128 tokens of 128 numbers, width 256, up to three blocks a level."""
    return merge(
        golden(),
        {
            "codec": {"num_levels": 1, "dim": 128},
            "operator": {"hidden_dim": 256, "num_heads": 8, "depths": (3, 3, 2)},
        },
    )


def capacity256() -> Run:
    """Golden with 256 tokens of 192 numbers on 512 cells, width 384, four blocks a level."""
    return merge(
        golden(),
        {
            "data": {"num_cells": 512},
            "codec": {"num_levels": 1, "dim": 192},
            "operator": {"hidden_dim": 384, "num_heads": 8, "depths": (4, 4, 4)},
        },
    )


def _epochs(number: int) -> int:
    """Updates that see as many pairs of frames as there are in 340 trajectories of 41, `number` times."""
    return number * 340 * 40 // 50


def _generative(seconds: float) -> Fit:
    return _training(seconds).model_copy(update={"unroll": ((0.0, 1),), "ema_decay": 0.999})


def _baselines() -> dict:
    return {
        "pdebench_fno": PDEBenchFNO(),
        "unet": UNet(),
        "dilated_resnet": DilatedResNet(),
        "tuned_fno": TunedFNO(),
    }


def _training(seconds: float = 1.0) -> Fit:
    return Fit(seconds=seconds, symmetries=("shift", "reflect_odd"), ema_decay=0.99)
