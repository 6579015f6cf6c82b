"""Small networks in float64 under frozen objectives, with their curvature matrices written out in full."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ups.nets.transformer import Attention
from ups.probes.curvature import Objective
from ups.probes.frozen import still
from ups.streams import stream


class Convolutions(nn.Sequential):
    def __init__(self):
        first, last = (nn.Conv1d(i, o, 3, padding=1, padding_mode="circular") for i, o in ((1, 4), (4, 1)))
        super().__init__(first, nn.GroupNorm(2, 4), nn.SiLU(), last)


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention(4, num_heads=2)

    def forward(self, x):
        return self.attention(x, x)


@dataclass
class Case:
    model: nn.Module
    x: Tensor
    goal: Tensor

    def __post_init__(self):
        for parameter in self.model.parameters():
            nn.init.normal_(parameter, std=0.5, generator=stream(0, "fill"))
        self.twin, self.params = still(self.model, torch.float64)

    def outputs(self, params):
        return functional_call(self.twin, params, (self.x,))

    def loss(self, outputs):
        if not self.goal.is_floating_point():
            return F.cross_entropy(outputs, self.goal)
        weight = torch.linspace(0.5, 2.0, len(self.goal), dtype=outputs.dtype)
        return (weight * ((outputs - self.goal) ** 2).flatten(1).mean(1)).mean()

    @property
    def objective(self):
        return Objective("test", self.outputs, self.loss)

    def of_flat(self, function):
        """The function of the parameters as one of a single vector."""
        sizes = [p.numel() for p in self.params.values()]

        def flat(vector):
            parts = zip(self.params.items(), vector.split(sizes), strict=True)
            return function({name: part.view(p.shape) for (name, p), part in parts})

        return flat

    @property
    def flat(self):
        return torch.cat([p.flatten() for p in self.params.values()])

    def dense_hessian(self, at=None):
        with sdpa_kernel(SDPBackend.MATH):
            return hessian(self.of_flat(self.objective))(self.flat if at is None else at)

    def dense_gauss_newton(self):
        with sdpa_kernel(SDPBackend.MATH):
            jacobian = jacrev(self.of_flat(self.outputs))(self.flat).flatten(0, -2)
        out = self.outputs(self.params)
        inner = hessian(self.loss)(out).reshape(out.numel(), out.numel())
        return jacobian.T @ inner @ jacobian


def noise(*shape):
    return torch.randn(shape, generator=stream(0, "x"), dtype=torch.float64)


MAKE = {
    "mlp": lambda: Case(
        nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)), noise(16, 3), noise(16, 2)
    ),
    "convolutions": lambda: Case(Convolutions(), noise(6, 1, 8), noise(6, 1, 8).flip(0)),
    "attention": lambda: Case(SelfAttention(), noise(5, 6, 4), noise(5, 6, 4).flip(0)),
    "classifier": lambda: Case(
        nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 4)), noise(12, 3), torch.arange(12) % 4
    ),
}


@pytest.fixture(scope="session", params=MAKE)
def case(request):
    return MAKE[request.param]()


@pytest.fixture(scope="session")
def mlp():
    return MAKE["mlp"]()
