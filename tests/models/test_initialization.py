import torch
from torch import nn

from ups.models.initialization import initialize
from ups.streams import stream


def make():
    return nn.Sequential(nn.Linear(3, 4), nn.Conv1d(2, 2, 3), nn.Linear(4, 1))


def weights(module):
    return torch.cat([parameter.flatten() for parameter in module.parameters()])


def test_equal_generators_give_equal_networks_and_others_do_not():
    a, b, c = (weights(initialize(make, stream(seed, "init"))) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_one_generator_gives_a_new_network_each_time():
    generator = stream(0, "init")
    assert not torch.equal(weights(initialize(make, generator)), weights(initialize(make, generator)))


def test_the_global_generator_neither_enters_nor_moves():
    torch.rand(1)
    before = torch.get_rng_state()
    a = weights(initialize(make, stream(0, "init")))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(weights(initialize(make, stream(0, "init"))), a)
