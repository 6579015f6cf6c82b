"""AdamW, the learning rate as a function of progress, and the gradient norm."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW, Optimizer

from ups.training.muon import Muon, divide
from ups.training.settings import Fit


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; frozen ones (a trained codec's) are left out."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def make_optimizer(model: nn.Module, settings: Fit) -> Optimizer:
    """Return the optimizer of the settings; vectors and biases (those of norms too) do not decay.

    AdamW: Loshchilov and Hutter, arXiv:1711.05101. Muon: see `ups.training.muon`.
    """
    parameters = trainable(model)
    matrices, spectral = divide(model, parameters) if settings.optimizer == "muon" else ([], [])
    still = {name for name, parameter in parameters.items() if parameter.ndim < 2 or name.endswith("bias")}
    rest = parameters.keys() - still - set(matrices)
    groups = [
        {
            "params": [p for name, p in parameters.items() if name in rest],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for name, p in parameters.items() if name in still], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not matrices:
        return AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
    return Muon(
        [parameters[name] for name in matrices],
        groups,
        spectral,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=settings.betas,
    )


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


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
