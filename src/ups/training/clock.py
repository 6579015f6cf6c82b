"""Two clocks of a training: what passes on the wall, and the work that is done meanwhile.

On a CPU that others use too, a second of wall time is less than a second of work; two networks that are trained one
after the other, at unequal load, get unequal work for equal seconds. So budgets are kept in work: the CPU time of the
main thread, which takes part in all that PyTorch does with several. On a quiet machine that is wall time. Where an
accelerator does the work, wall time is all that can be read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from ups.record import Fitted

UNEQUAL = 1.3
"""Ratio of the loads of two trainings above which they are said to be unequal."""


def work(device: torch.device) -> float:
    """Return the seconds of work so far, from an arbitrary beginning."""
    return time.thread_time() if device.type == "cpu" else time.perf_counter()


def unequal_load(stages: Mapping[str, Fitted]) -> str | None:
    """Say so if trainings had unequal shares of the machine; seconds of wall time then do not compare. None if not.

    The load of a training is its wall time over its work.
    """
    loads = {
        name: fitted.seconds / fitted.cpu_seconds for name, fitted in stages.items() if fitted.cpu_seconds
    }
    if len(loads) < 2:
        return None
    least, most = min(loads, key=loads.__getitem__), max(loads, key=loads.__getitem__)
    if loads[most] < UNEQUAL * loads[least]:
        return None
    return (
        f"The machine was busier while {most} was trained (wall time {loads[most]:.1f} times its CPU time) than while "
        f"{least} was ({loads[least]:.1f} times): compare updates and CPU seconds, not seconds."
    )
