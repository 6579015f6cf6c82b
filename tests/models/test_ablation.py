from contextlib import suppress

import torch
from torch import nn

from ups.models.ablation import dead_branches
from ups.nets.fourier import FNO
from ups.streams import stream


class UnusedBlocks(FNO):
    """The published fault: the layers are computed and their output is dropped."""

    def forward(self, x):
        x = self.lift(x)
        for spectral, pointwise in zip(self.spectral, self.pointwise, strict=True):
            _ = spectral(x) + pointwise(x)
        return self.head(x)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.scale = nn.Linear(3, 3), nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.linear(x * self.scale)


def x():
    return torch.randn(2, 1, 16, generator=stream(0, "x"))


def test_blocks_whose_output_is_not_used_are_found():
    net = UnusedBlocks(1, 1, width=4, modes=3, num_layers=2)
    assert dead_branches(net, lambda: net(x())) == ["spectral.0", "spectral.1", "pointwise.0", "pointwise.1"]


def test_a_whole_network_has_none_even_behind_a_silent_head():
    net = FNO(1, 1, width=4, modes=3, num_layers=2)
    for parameter in net.head[-1].parameters():
        nn.init.zeros_(parameter)
    assert dead_branches(net, lambda: net(x())) == []


def test_a_parameter_of_a_container_counts_as_a_layer_of_its_own():
    net = Scaled()
    assert dead_branches(net, lambda: net(x()[..., :3])) == []
    assert dead_branches(net, lambda: net.linear(x()[..., :3])) == [""]


def test_the_parameters_are_put_back_bit_for_bit_even_after_a_failure():
    net = FNO(1, 1, width=4, modes=3)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    rng = torch.get_rng_state()
    dead_branches(net, lambda: net(x()))
    calls = iter(range(3))
    with suppress(StopIteration):
        dead_branches(net, lambda: x() * next(calls))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
