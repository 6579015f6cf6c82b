"""A run of seconds: one line, one small operator, one small peer."""

from ups.data.synthetic import Synthetic
from ups.models.operator import SpectralFlux
from ups.models.peers import TunedFNO
from ups.pipeline import Run
from ups.training.settings import Fit


def tiny() -> Run:
    """Advection on 32 cells."""
    return Run(
        data=Synthetic(equation="advection", num_trajectories=40, num_cells=32, num_frames=14),
        operator=SpectralFlux(width=8, num_blocks=1, modes=4, kernel_size=3),
        peers={"tuned_fno": TunedFNO(num_context=2, width=8, modes=4)},
        solver_cells=(8, 16, 32),
        training=Fit(updates=60, batch_size=8, unroll=((0.0, 1), (0.5, 2)), num_validations=2, warmup=5),
    )


def broken() -> int:
    return 3
