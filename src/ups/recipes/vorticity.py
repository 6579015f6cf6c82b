"""Incompressible flow in a periodic plane, as FNO's Navier-Stokes data have it."""

from __future__ import annotations

from ups.data.simulated import Simulated
from ups.models.baselines import TunedFNO
from ups.models.corrector import CorrectorSettings
from ups.models.law_network import LawNetwork
from ups.models.operator import SpectralFlux
from ups.models.residual_nets import SpectralLocal
from ups.models.student import StudentSettings
from ups.runs.settings import Run
from ups.solvers.kicks import Kicks
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


def forced() -> Run:
    """A flow with random kicks on 32 x 32 cells: operator, corrector and student against the perfect ensemble.

    About an hour of two cores.
    """
    once = ((0.0, 1),)
    return Run(
        data=Simulated(
            equation="vorticity",
            nu=(0.002,),
            strength=(0.0,),  # what stirs is random alone, so that nothing has a place
            dt=0.5,
            forcing=Kicks(size=(0.5, 1.5), width=(0.06, 0.12), balanced=True),
            num_trajectories=300,
            num_frames=21,
            num_cells=(32, 32),
        ),
        operator=SpectralFlux(modes=12),
        corrector=CorrectorSettings(network=SpectralLocal(modes=12, num_blocks=4)),
        student=StudentSettings(),
        solver_cells=(32,),
        num_members=8,
        training=Fit(seconds=240.0, batch_size=20, unroll=once, symmetries=("shift",), ema_decay=0.99),
        corrector_training=Fit(
            seconds=900.0, batch_size=20, unroll=once, symmetries=("shift",), ema_decay=0.999
        ),
        student_training=Fit(
            seconds=300.0, batch_size=20, unroll=once, symmetries=("shift",), ema_decay=0.999
        ),
    )
