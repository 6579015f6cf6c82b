"""Data-parallel training under torchrun: who am I, one broadcast, one mean. A single process needs no set-up."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed as dist

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process, from torchrun's environment; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes, from torchrun's environment; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return whether this is the process that writes, validates and shows progress."""
    return rank() == 0


def device() -> torch.device:
    """Return the device of this process: its own GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def start() -> None:
    """Join the process group if torchrun started several processes; a second call does nothing.

    NCCL where there are GPUs, otherwise gloo.
    """
    if world_size() > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(stop)


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def broadcast(value: Callable[[], T]) -> T:
    """Evaluate `value` in the main process only and return the result in every process."""
    if not dist.is_initialized():
        return value()
    box: list[Any] = [value() if is_main() else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def agree(flag: bool) -> bool:
    """Return whether the flag is set in any process."""
    return mean({"flag": float(flag)})["flag"] > 0


def mean(values: dict[str, float]) -> dict[str, float]:
    """Return the mean of each value over the processes, which all hold the same names in the same order."""
    if not dist.is_initialized():
        return values
    total = torch.tensor(list(values.values()), dtype=torch.float64, device=device())
    dist.all_reduce(total)
    return dict(zip(values, (total / world_size()).tolist(), strict=True))
