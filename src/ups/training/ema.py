"""The exponential moving average of the weights, which is what is validated and kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ups.training.optim import trainable


class Ema:
    """Average of the trained weights in float32.

    average <- d average + (1 - d) weights with d = min(decay, (1 + n) / (10 + n)) at the n-th update (from 0), so
    that the average forgets the initial weights quickly. `decay` 0 is the weights themselves.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.parameters = trainable(model)
        self.average = {name: p.detach().float().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present weights."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        weights = [parameter.detach().float() for parameter in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        self.num_updates += 1

    @contextmanager
    def swapped_in(self) -> Generator[None]:
        """Give the model the averaged weights; afterwards it has its own again, to the last bit."""
        own = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._give(self.average)
        try:
            yield
        finally:
            self._give(own)

    @torch.no_grad()
    def _give(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])
