"""Incompressible flow in a periodic plane, as FNO's Navier-Stokes data have it."""

from __future__ import annotations

from ups.data.simulated import Simulated
from ups.models.baselines import TunedFNO
from ups.models.law_network import LawNetwork
from ups.runs.settings import Run
from ups.training.settings import Fit


def reference() -> Run:
    """FNO's Navier-Stokes at nu = 1e-3 on 64 x 64 cells: ten frames in, forty out; an hour of two cores.

    data.nu=1e-4 data.num_frames=31 and data.nu=1e-5 data.num_frames=21 are its harder two, which want a finer solver,
    data.solver_cells=[256,256], and hours. Frame 0 is the initial one, where the published files begin at time 1.
    """
    return Run(
        data=Simulated(
            equation="vorticity",
            num_cells=(64, 64),
            solver_cells=(128, 128),
            num_frames=51,
            num_trajectories=96,
        ),
        operator=LawNetwork(modes=16),
        baselines={"tuned_fno": TunedFNO(modes=16)},
        solver_cells=(32, 64, 128),
        training=Fit(seconds=300.0, batch_size=20, batch_cells=20 * 1024, ema_decay=0.99),
    )
