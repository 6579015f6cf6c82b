"""All that a run needs to go on: weights, average, optimizer, best weights, and a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ups.training.ema import Ema
from ups.training.optim import make_optimizer
from ups.training.settings import Fit


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and the saved buffers of a model by name, as they are (no copy)."""
    saved = model.state_dict()
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in named if name in saved}


@torch.no_grad()
def load_weights(model: nn.Module, values: dict[str, Tensor]) -> None:
    """Copy `values` into the parameters and buffers of a model; both must have the same names."""
    own = weights(model)
    if own.keys() != values.keys():
        raise ValueError(f"weights of another model: {sorted(own.keys() ^ values.keys())[:3]}")
    for name, tensor in own.items():
        tensor.copy_(values[name])


@dataclass
class State:
    """A run between two updates.

    `seconds` is the wall time used so far, `cpu_seconds` the work; a score is better when smaller.
    `since_best` counts the scores since the best one.
    """

    model: nn.Module
    optimizer: Optimizer
    ema: Ema
    update: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    num_skipped: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = math.inf
    best_update: int = 0
    since_best: int = 0

    @classmethod
    def start(cls, model: nn.Module, settings: Fit) -> State:
        """Return the state before the first update."""
        return cls(model, make_optimizer(model, settings), Ema(model, settings.ema_decay))

    def keep_if_best(self, score: float) -> None:
        """Keep the averaged weights if their score is the best so far; NaN never is."""
        if score < self.best_score:
            self.best_score, self.best_update, self.since_best = score, self.update, 0
            self.keep()
        else:
            self.since_best += 1

    @property
    def speed(self) -> float:
        """Updates per second."""
        return self.update / max(self.seconds, 1e-6)

    def keep(self) -> None:
        """Keep the averaged weights as the best ones."""
        self.best = {
            name: tensor.clone() for name, tensor in (weights(self.model) | self.ema.average).items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state by name."""
        groups = {"model": weights(self.model), "average": self.ema.average, "best": self.best}
        for index, values in self.optimizer.state_dict()["state"].items():
            groups[f"optimizer.{index}"] = values
        return {
            f"{group}/{name}": tensor for group, values in groups.items() for name, tensor in values.items()
        }

    def numbers(self) -> dict[str, Any]:
        """Return the rest of the state."""
        names = ("update", "seconds", "cpu_seconds", "num_skipped", "best_score", "best_update", "since_best")
        return {name: getattr(self, name) for name in names} | {"ema_updates": self.ema.num_updates}

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Put back what `tensors` and `numbers` returned."""
        groups: dict[str, dict[str, Tensor]] = {"best": {}}
        for key, tensor in tensors.items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = tensor
        load_weights(self.model, groups.pop("model"))
        for name, average in self.ema.average.items():
            average.copy_(groups["average"][name])
        device = next(self.model.parameters()).device
        self.best = {name: tensor.to(device) for name, tensor in groups["best"].items()}
        moments = {
            int(group.split(".")[1]): v for group, v in groups.items() if group.startswith("optimizer.")
        }
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        self.ema.num_updates = numbers["ema_updates"]
        for name in numbers.keys() - {"ema_updates"}:
            setattr(self, name, numbers[name])
