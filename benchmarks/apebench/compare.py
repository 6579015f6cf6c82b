"""Operators and baselines on APEBench's scenarios: python benchmarks/apebench/compare.py FOLDER SECONDS NAME ...

FOLDER holds what `make.py` wrote. Every network has SECONDS of CPU time of one thread, one frame of context and the
same batches; 45 of the 50 training trajectories train, 5 choose; that a field is conserved is not said. Printed for
each scenario and network: the geometric mean over 100 steps of the mean nRMSE over the 30 test trajectories.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ups.data.simulated import Simulated
from ups.data.splits import Splits
from ups.evaluation.metrics import nrmse
from ups.evaluation.rollout import rollout
from ups.models.baselines import TunedFNO
from ups.models.law_network import LawNetwork
from ups.models.law_operator import Law
from ups.models.operator import SpectralFlux
from ups.runs.pipeline import Work, climb, ground, train_codec
from ups.runs.rungs import BaselineSpec, LawSpec, OperatorSpec
from ups.runs.settings import Run
from ups.training.settings import Fit
from ups.training.store import Store
from ups.types import Field, Fields, Trajectory, line

STEPS = 100


def splits_of(path: Path) -> Splits:
    """Return APEBench's trajectories as they are split there; a tenth of the training ones chooses."""
    with np.load(path) as file:
        train, test = (torch.tensor(file[part])[:, :, None] for part in ("train", "test"))
    fields = Fields((Field("u"),), line(train.shape[-1], 1.0), 1.0)
    parts = [
        Trajectory(values, torch.zeros(len(values), 0), fields) for values in (train[:45], train[45:], test)
    ]
    return Splits(*parts, digest=path.stem)


def main() -> None:
    """Print one line for each scenario and network."""
    torch.set_num_threads(1)
    folder, seconds, *names = sys.argv[1:]
    how = Fit(seconds=float(seconds), batch_size=20, unroll=((0.0, 1), (0.6, 3), (0.85, 6)), ema_decay=0.99)
    seed = 0
    for name in names:
        splits = splits_of(Path(folder) / f"{name}.npz")
        specs = {
            "law": LawSpec(operator=Law()),
            "law + network": OperatorSpec(operator=LawNetwork(), training=how, on=("law",)),
            "network": OperatorSpec(name="network", operator=SpectralFlux(), training=how),
            "tuned FNO": BaselineSpec(name="tuned_fno", settings=TunedFNO(num_context=1), training=how),
        }
        below = ground(Run(data=Simulated(), seed=seed), splits)
        with tempfile.TemporaryDirectory() as runs, Store(Path(runs) / "run") as store:
            work = Work(splits, store, seed)
            done = {"codec": train_codec(Run(data=Simulated()), below, work)}
            for label, spec in specs.items():
                begun = time.process_time()
                climbed = done[spec.name] = climb(spec, below, done, work)
                below = below.under(spec.name, climbed.ready.stepper)
                spent = time.process_time() - begun
                with torch.no_grad():
                    test = splits.test
                    forecast = rollout(climbed.ready.stepper, test.values[:, :1], test.params, STEPS)
                    errors = nrmse(forecast, test.values[:, 1 : STEPS + 1], test.fields).mean((0, 2))
                fitted = climbed.ready.fitted
                sys.stdout.write(
                    f"{name:16} {label:14} {errors.log().mean().exp().item():.3g}  last {errors[-1].item():.2g}  "
                    f"{spent:.0f} s  {fitted.updates if fitted else 0} updates\n"
                )
                sys.stdout.flush()


main()
