"""Two substances that react and spread: PDEBench's 2D diffusion-reaction."""

from __future__ import annotations

from ups.data.simulated import Simulated
from ups.models.baselines import TunedFNO
from ups.models.law_network import LawNetwork
from ups.runs.settings import Run
from ups.training.settings import Fit


def reference() -> Run:
    """PDEBench's 2D diffusion-reaction, 128 x 128 cells between walls, from its own seeds; an hour of two cores."""
    return Run(
        data=Simulated(
            equation="fitzhugh_nagumo",
            num_cells=(128, 128),
            boundary={"*": ("wall", "wall")},
            num_frames=101,
            num_trajectories=64,
        ),
        operator=LawNetwork(modes=16),
        baselines={"tuned_fno": TunedFNO(modes=16)},
        solver_cells=(32, 64, 128),
        training=Fit(
            seconds=900.0,
            batch_size=20,
            batch_cells=20 * 1024,
            symmetries=("reflect",),
            ema_decay=0.99,
        ),
    )
