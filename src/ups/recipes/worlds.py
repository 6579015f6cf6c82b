"""Systems that are steered: frames forecast one after the other, with uncertainty, under a plan of actions."""

from __future__ import annotations

from ups.config import merge
from ups.data.controlled import Controlled
from ups.models.autoencoder import Convolutional, IdentityPatches
from ups.models.dynamics import DynamicsSettings
from ups.models.operator import SpectralRate
from ups.runs.settings import Run
from ups.solvers.actuated import Actuators
from ups.training.settings import Fit


def controlled_burgers() -> Run:
    """Viscous Burgers with two actuators: a world model in four calls a frame, about half an hour on two cores."""
    return Run(
        data=Controlled(),
        codec=Convolutional(num_levels=3, dim=4),
        operator=SpectralRate(width=32, modes=4),
        dynamics=DynamicsSettings(),
        codec_training=Fit(seconds=60.0, unroll=((0.0, 1),)),
        training=Fit(seconds=60.0, ema_decay=0.99),
        dynamics_training=Fit(seconds=480.0, batch_size=32, unroll=((0.0, 8), (0.6, 16))),
        num_members=8,
    )


def heat() -> Run:
    """Heat with two actuators: linear, so that every answer to an action is known."""
    return merge(controlled_burgers(), {"data": {"equation": "heat", "nu": 0.01}})


def forced_vorticity() -> Run:
    """A flow on 32 x 32 cells with two actuators: the same code on a plane."""
    return merge(
        controlled_burgers(),
        {
            "data": {
                "equation": "vorticity",
                "nu": 0.001,
                "num_cells": (32, 32),
                "num_frames": 41,
                "dt": 0.5,
                "actuators": Actuators(strength=0.5, width=0.08).model_dump(),
            },
            "codec": IdentityPatches(patch_size=4).model_dump(),
            "training": {"seconds": 120.0},
            "dynamics_training": {"seconds": 1200.0, "batch_size": 12},
        },
    )
