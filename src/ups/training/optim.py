"""AdamW, the learning rate as a function of progress, and the gradient norm."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import AdamW

from ups.training.settings import Fit


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; frozen ones (a trained codec's) are left out."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def make_optimizer(model: nn.Module, settings: Fit) -> AdamW:
    """Return fused AdamW in which vectors and biases (those of norms too) do not decay.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, arXiv:1711.05101.
    """
    parameters = trainable(model)
    still = {name for name, parameter in parameters.items() if parameter.ndim < 2 or name.endswith("bias")}
    groups = [
        {
            "params": [p for name, p in parameters.items() if name not in still],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for name, p in parameters.items() if name in still], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def learning_rate(settings: Fit, update: int, progress: float) -> float:
    """Return the learning rate of an update.

    peak * min(1, (update + 1) / warmup) * (1 + cos(pi * progress)) / 2 for the cosine; the last factor is 1 for
    the constant schedule. `progress` is the used fraction of the budget.
    """
    warmup = min(1.0, (update + 1) / max(settings.warmup, 1))
    decay = (1 + math.cos(math.pi * progress)) / 2 if settings.schedule == "cosine" else 1.0
    return settings.learning_rate * warmup * decay


def clip_gradient(parameters: list[nn.Parameter], clip: float | None) -> float:
    """Scale the gradient down to norm `clip` if it is longer; return its norm before that."""
    if clip is not None:
        return nn.utils.clip_grad_norm_(parameters, clip).item()
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).item()


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
