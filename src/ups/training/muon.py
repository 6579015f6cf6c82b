"""Muon: momentum whose matrices are orthogonalized, with AdamW for everything that is not a matrix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from ups.nets.fourier import CosineConv1d, SpectralConv1d

MOMENTUM = 0.95
"""That of Jordan et al."""
SMALLEST_SIDE = 8
"""A matrix with a shorter side (the first and the last layer of a network) is left to AdamW."""


class Muon(Optimizer):
    """Matrices move by lr * 0.2 sqrt(longest side) * UV^T, where U S V^T is their Nesterov momentum.

    The factor gives updates the size that AdamW's have, so that both share learning rate and decay (Liu et al.,
    arXiv:2502.16982, eq. 4); UV^T is approximated by five Newton-Schulz steps (Jordan et al., Muon, 2024). A
    convolution is the matrix (out, in * kernel), a spectral convolution one matrix (in, real and imaginary out)
    for each mode. All other parameters move by AdamW (arXiv:1711.05101).
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[Mapping[str, Any]],
        spectral: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
    ) -> None:
        shared = {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": 1e-8, "is_matrix": False}
        groups: list[dict[str, Any]] = [{"params": list(matrices), "is_matrix": True}, *map(dict, others)]
        super().__init__([group for group in groups if group["params"]], shared)
        self.spectral = {id(parameter) for parameter in spectral}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # ty: ignore[incompatible-method-override]
        """Make one update from the gradients."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            (self._move_matrices if group["is_matrix"] else self._move_others)(parameters, group)

    def _move_matrices(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        same_shape = defaultdict(list)
        for parameter in parameters:
            gradient = cast(Tensor, parameter.grad)
            momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            momentum.lerp_(gradient, 1 - MOMENTUM)
            stack = self._as_matrices(gradient.lerp(momentum, MOMENTUM), parameter)
            same_shape[stack.shape[1:]].append((parameter, stack))
        for shape, members in same_shape.items():
            moves = orthogonalize(torch.cat([stack for _, stack in members]))
            moves = moves.split([len(stack) for _, stack in members])
            for (parameter, _), move in zip(members, moves, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                parameter.sub_(self._as_parameter(move, parameter), alpha=rate)

    def _move_others(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            gradient, state = cast(Tensor, parameter.grad), self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["step"] += 1
            count = state["step"].item()
            state["exp_avg"].lerp_(gradient, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            scale = (state["exp_avg_sq"] / (1 - beta2**count)).sqrt_().add_(group["eps"])
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.addcdiv_(state["exp_avg"], scale, value=-group["lr"] / (1 - beta1**count))

    def _as_matrices(self, value: Tensor, parameter: nn.Parameter) -> Float[Tensor, "stack row column"]:
        if id(parameter) in self.spectral and value.ndim == 4:
            return torch.cat(value.unbind(0), dim=-1)  # (real or imaginary, mode, in, out)
        if id(parameter) in self.spectral:
            return value  # (mode, in, out)
        return value.flatten(1)[None]

    def _as_parameter(self, move: Float[Tensor, "stack row column"], parameter: nn.Parameter) -> Tensor:
        if id(parameter) in self.spectral and parameter.ndim == 4:
            return torch.stack(move.chunk(2, dim=-1))
        return move.view_as(parameter)


def orthogonalize(matrices: Float[Tensor, "stack row column"]) -> Float[Tensor, "stack row column"]:
    """Return approximately UV^T of each matrix U S V^T: singular values between about 0.7 and 1.2.

    Five steps of the quintic Newton-Schulz iteration X <- a X + b (X X^T) X + c (X X^T)^2 X, whose coefficients
    make small singular values grow fastest. Source: Jordan et al., Muon, 2024.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if is_tall else x


def divide(model: nn.Module, names: Iterable[str]) -> tuple[list[str], list[nn.Parameter]]:
    """Return which of the named parameters are matrices for Muon, and all weights of spectral convolutions."""
    spectral = [
        module.weight for module in model.modules() if isinstance(module, SpectralConv1d | CosineConv1d)
    ]
    is_spectral = {id(parameter) for parameter in spectral}
    parameters = dict(model.named_parameters())

    def smallest_side(parameter: nn.Parameter) -> int:
        shape = (
            parameter.shape[-2:] if id(parameter) in is_spectral else (len(parameter), parameter[0].numel())
        )
        return min(shape)

    matrices = [
        name
        for name in names
        if name.endswith("weight")
        and parameters[name].ndim > 1
        and smallest_side(parameters[name]) >= SMALLEST_SIDE
    ]
    return matrices, spectral
