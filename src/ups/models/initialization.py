"""Parameters drawn from a generator: the one place where a network meets random numbers at birth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, nn

M = TypeVar("M", bound=nn.Module)


def initialize(make: Callable[[], M], generator: Generator) -> M:
    """Return `make()` with every parameter a function of the generator alone.

    PyTorch's layers initialize themselves from the global generator of the processor. It is seeded by the given
    one for the length of the call, and put back as it was. Equal generators give equal networks.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()
