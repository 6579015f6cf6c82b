"""What is made of ten frames: the regressed law, untrained, behind contexts from the start and the middle.

python benchmarks/contexts.py burgers.quick
python benchmarks/contexts.py burgers.reference data.file=1D_Burgers_Sols_Nu0.001.hdf5

Prints the mean nRMSE of the rollout to the end of the test trajectories, behind ten frames that begin at frame 0, 10
and 20, for the last frame alone and for states that start from the first and are pulled towards the others.
"""

from __future__ import annotations

import sys

import torch

from ups.config import override
from ups.evaluation.evaluate import forecast
from ups.evaluation.metrics import nrmse
from ups.evaluation.protocols import PDEBENCH
from ups.recipes.find import find_run
from ups.runs.pipeline import ground, load
from ups.runs.rungs import LawSpec

STARTS = (0, 10, 20)
READINGS = {"last frame alone": (1, 0.0)} | {
    f"pulled by {gain}": (10, gain) for gain in (0.0, 0.1, 0.3, 0.5, 0.8)
}


@torch.no_grad()
def main() -> None:
    """Print one line for each way to read a context."""
    recipe, *assignments = sys.argv[1:]
    settings = override(find_run(recipe)[1], assignments)
    splits = load(settings)
    for name, (spin_up, gain) in READINGS.items():
        codec = settings.codec.model_copy(update={"spin_up": spin_up, "gain": gain})
        below = ground(settings.model_copy(update={"codec": codec}), splits)
        spec = LawSpec(operator=settings.operator)
        law = spec.build(below)
        spec.prepare(law, below)
        errors = []
        for start in STARTS:
            test = splits.test.window(start, splits.test.values.shape[1] - start)
            prediction = forecast(law, test, PDEBENCH)
            errors.append(
                nrmse(prediction, test.values[:, PDEBENCH.num_context :], test.fields).mean().item()
            )
        print(f"{name:18}" + "".join(f"{error:9.5f}" for error in errors), flush=True)


main()
