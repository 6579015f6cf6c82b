"""1D Burgers: shocks form, merge and decay; the hardest classic for networks that smooth."""

from __future__ import annotations

from ups.data.pdebench import PDEBench
from ups.data.synthetic import Synthetic
from ups.models.autoencoder import Perceiver
from ups.models.flux_law import FluxLaw
from ups.models.operator import SpectralFlux, Transformer
from ups.models.peers import DilatedResNet, PDEBenchFNO, TunedFNO, UNet1d
from ups.models.refined import Refined
from ups.pipeline import Run
from ups.training.settings import Fit


def quick() -> Run:
    """Five minutes on two cores: data from our solver, the operator and four peers, 40 s each."""
    return Run(
        data=Synthetic(equation="burgers", nu=(0.001,), num_trajectories=400),
        codec=Refined(),
        operator=FluxLaw(),
        peers=_peers(),
        training=_training(seconds=40.0),
    )


def reference() -> Run:
    """PDEBench's file (give data.file=PATH) with ten minutes for the operator and for each peer."""
    return Run(
        data=PDEBench(),
        codec=Refined(factor=3),
        operator=FluxLaw(),
        peers=_peers(),
        training=_training(seconds=600.0),
    )


def network() -> Run:
    """The reference with an operator that assumes no law: a network that predicts the flux from one frame."""
    return Run(data=PDEBench(), operator=SpectralFlux(), training=_training(seconds=600.0))


def latent() -> Run:
    """Few tokens: a Perceiver codec of 32 tokens and a transformer on them, next to the codec's own ceiling."""
    return Run(
        data=Synthetic(equation="burgers", nu=(0.001,), num_trajectories=400),
        codec=Perceiver(),
        operator=Transformer(),
        peers={"tuned_fno": TunedFNO()},
        codec_training=Fit(seconds=120.0, unroll=((0.0, 1),), symmetries=("shift",)),
        training=_training(seconds=120.0),
    )


def viscosities() -> Run:
    """One operator for five viscosities from 0.001 to 1, told which one it is in."""
    return Run(
        data=Synthetic(equation="burgers", nu=(0.001, 0.01, 0.1, 0.4, 1.0), num_trajectories=800),
        peers={"tuned_fno": TunedFNO()},
        training=_training(seconds=120.0),
    )


def _peers() -> dict:
    return {
        "pdebench_fno": PDEBenchFNO(),
        "unet": UNet1d(),
        "dilated_resnet": DilatedResNet(),
        "tuned_fno": TunedFNO(),
    }


def _training(seconds: float) -> Fit:
    return Fit(seconds=seconds, symmetries=("shift", "reflect_odd"), ema_decay=0.99)
