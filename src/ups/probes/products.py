"""Curvature matrices as things that multiply a vector: the Hessian and the generalized Gauss-Newton matrix.

Parameters and vectors are dictionaries of real tensors with equal names and shapes, in float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

Params = dict[str, Tensor]
Scalar = Callable[[Params], Tensor]
"""Parameters -> one number, with everything else (batch, noise, times) frozen inside."""


def hessian_product(objective: Scalar, params: Params, vector: Params) -> Params:
    """Return H v, the derivative of the gradient along `vector`: one forward pass over one backward pass.

    Source: Pearlmutter, Neural Computation 6 (1994).
    """
    with full_precision(params):
        return jvp(grad(objective), (_detached(params),), (vector,))[1]


def gauss_newton_product(
    outputs: Callable[[Params], Tensor], loss: Callable[[Tensor], Tensor], params: Params, vector: Params
) -> Params:
    """Return J' L J v for loss(outputs(params)): J the Jacobian of the outputs, L the Hessian of the loss there.

    The Hessian without the second derivatives of the network; positive semidefinite where the loss is convex in
    the outputs. A linear map may move from one side of the cut to the other without changing it.
    Source: Schraudolph, Neural Computation 14 (2002).
    """
    with full_precision(params):
        value, pullback = vjp(outputs, _detached(params))  # ty: ignore[invalid-assignment]
        change = jvp(outputs, (_detached(params),), (vector,))[1]
        return pullback(jvp(grad(loss), (value,), (change,))[1])[0]


def hessian_form(objective: Scalar, params: Params) -> Callable[[Params], float]:
    """Return the quadratic form v -> v'Hv."""
    return lambda vector: inner(vector, hessian_product(objective, params, vector))


def gauss_newton_form(
    outputs: Callable[[Params], Tensor], loss: Callable[[Tensor], Tensor], params: Params
) -> Callable[[Params], float]:
    """Return the quadratic form v -> (Jv)' L (Jv), which needs no backward pass through the network."""

    def form(vector: Params) -> float:
        with full_precision(params):
            value, change = jvp(outputs, (_detached(params),), (vector,))  # ty: ignore[invalid-assignment]
            return inner({"": change}, {"": jvp(grad(loss), (value,), (change,))[1]})

    return form


def inner(first: Params, second: Params) -> float:
    """Return the inner product, summed in float64."""
    products = [(first[name].double() * second[name].double()).sum() for name in first]
    return float(torch.stack(products).sum())


def flatten(params: Params) -> Float[Tensor, " size"]:
    """Return all entries as one vector, in the order of the dictionary."""
    return torch.cat([tensor.reshape(-1) for tensor in params.values()])


def unflatten(flat: Float[Tensor, " size"], like: Params) -> Params:
    """Return the dictionary with the names, shapes, type and device of `like` that flattens to `flat`."""
    parts = flat.split([tensor.numel() for tensor in like.values()])
    return {
        name: part.view_as(tensor).to(tensor)
        for (name, tensor), part in zip(like.items(), parts, strict=True)
    }


@contextmanager
def full_precision(params: Params) -> Generator[None]:
    """Compute in the parameters' own type, without TF32 or autocast, and with attention written out.

    The fused attention kernels have no second derivative. The process-wide settings are put back at the end.
    """
    device = next(iter(params.values())).device.type
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


def _detached(params: Params) -> Params:
    return {name: tensor.detach() for name, tensor in params.items()}
