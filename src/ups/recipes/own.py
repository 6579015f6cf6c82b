"""Your own data, whatever the equation: one recipe for any file that `ups data inspect` can read."""

from __future__ import annotations

from ups.data.pdebench import PDEBench
from ups.models.baselines import TunedFNO
from ups.models.law_network import LawNetwork
from ups.runs.settings import Run
from ups.training.settings import Fit


def data() -> Run:
    """A file (data.file=PATH data.kind=...): the law in it, the law with a network, networks alone, 2 minutes each."""
    return Run(
        data=PDEBench(),
        operator=LawNetwork(modes=16),
        baselines={"tuned_fno": TunedFNO(modes=16, num_context=1)},
        training=Fit(seconds=120.0, batch_size=20, batch_cells=20 * 1024, ema_decay=0.99),
    )
