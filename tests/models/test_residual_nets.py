import pytest
import torch

from ups.models.initialization import initialize
from ups.models.residual_nets import (
    Attention,
    ParametersAlone,
    PlainMLP,
    ResidualNet,
    SpectralLocal,
    TokenMLP,
)
from ups.streams import stream
from ups.types import WALL, Axis, Grid, line

KINDS = {
    "token_mlp": TokenMLP(hidden_dim=16, depth=2),
    "plain_mlp": PlainMLP(hidden_dim=16, depth=2),
    "spectral_local": SpectralLocal(width=8, num_blocks=2, modes=4, kernel_size=3),
    "transformer": Attention(hidden_dim=16, num_heads=2, depth=2),
}


LINE = line(12)
PLANE = Grid((Axis("x", 6, 1.0), Axis("y", 8, 1.0)))


def build(kind, num_levels=1, grid=LINE):
    def make():
        return ResidualNet(KINDS[kind].build(grid, 9, 3), num_params=2, num_levels=num_levels)

    return initialize(make, stream(0, "init"))


def disturb(net):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net


def inputs(num=4):
    generator = stream(0, "inputs")
    x, given = (torch.randn(num, 12, dim, generator=generator) for dim in (3, 6))
    level, other = (4 * torch.randn(num, generator=generator) for _ in range(2))
    return x, level, other, given, torch.randn(num, 2, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_silent_at_first_and_then_hears_everything(kind):
    x, level, _, given, params = inputs()
    assert not build(kind)(x, level, given, params).any()
    net = disturb(build(kind))
    before = net(x, level, given, params)
    assert before.shape == x.shape
    for changed in (
        (x + 1, level, given, params),
        (x, level + 1, given, params),
        (x, level, given + 1, params),
    ):
        assert (net(*changed) - before).abs().max() > 1e-4
    assert (net(x, level, given, params + 1) - before).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_that_inherits_is_the_teacher_whatever_the_second_level(kind):
    teacher, student = disturb(build(kind)), build(kind, num_levels=2)
    student.inherit(teacher)
    x, level, other, given, params = inputs()
    torch.testing.assert_close(student(x, level, other, given, params), teacher(x, level, given, params))
    disturb(student)
    a, b = (student(x, level, second, given, params) for second in (other, other + 2))
    assert (a - b).abs().max() > 1e-4


def test_without_skips_a_layer_that_says_nothing_hides_what_came_before():
    x, level, _, given, params = inputs()
    for kind, hidden in (("plain_mlp", True), ("token_mlp", False)):
        net = disturb(build(kind))
        with torch.no_grad():
            for parameter in net.body.layers[-1].parameters():
                parameter.zero_()
        change = net(x + 1, level, given, params) - net(x, level, given, params)
        assert (not change.any()) == hidden, kind


def test_a_token_mlp_sees_one_token_alone():
    net, (x, level, _, given, params) = disturb(build("token_mlp")), inputs()
    moved = x.clone()
    moved[:, 5] += 1
    change = (net(moved, level, given, params) - net(x, level, given, params)).abs().amax((0, 2))
    assert change[5] > 1e-4
    assert not change[torch.arange(12) != 5].any()


def test_a_network_of_parameters_alone_sees_the_noisy_residual_and_nothing_that_is_given():
    def make():
        body = ParametersAlone(network=KINDS["spectral_local"]).build(line(12), 9, 3)
        return ResidualNet(body, num_params=2, num_levels=1)

    net, (x, level, _, given, params) = disturb(initialize(make, stream(0, "init"))), inputs()
    before = net(x, level, given, params)
    assert torch.equal(net(x, level, given + 1, params), before)
    for changed in (
        (x + 1, level, given, params),
        (x, level + 1, given, params),
        (x, level, given, params + 1),
    ):
        assert (net(*changed) - before).abs().max() > 1e-4


def test_on_a_plane_it_moves_with_what_it_sees_along_each_axis():
    def make():
        body = SpectralLocal(width=8, num_blocks=2, modes=3).build(PLANE, 9, 3)
        return ResidualNet(body, num_params=2, num_levels=1)

    net = disturb(initialize(make, stream(0, "init")))
    generator = stream(0, "inputs")
    x, given = (torch.randn(2, 48, dim, generator=generator) for dim in (3, 6))
    level, params = torch.randn(2, generator=generator), torch.randn(2, 2, generator=generator)

    def moved(tokens):
        return tokens.unflatten(1, PLANE.shape).roll((1, 3), (1, 2)).flatten(1, 2)

    out = net(x, level, given, params)
    torch.testing.assert_close(net(moved(x), level, moved(given), params), moved(out))
    changed = given.clone()
    changed[:, 5] += 1  # one token: its column, along the other axis, is seen as its row is
    reach = (net(x, level, changed, params) - out).abs().amax((0, 2)).unflatten(0, PLANE.shape)
    assert (reach > 1e-6).all()


def test_in_a_channel_it_moves_with_what_it_sees_along_the_axis_that_repeats_alone():
    channel = Grid((Axis("x", 6, 1.0), Axis("y", 8, 1.0, low=WALL, high=WALL)))

    def make():
        body = SpectralLocal(width=8, num_blocks=1, modes=3).build(channel, 9, 3)
        return ResidualNet(body, num_params=2, num_levels=1)

    net = disturb(initialize(make, stream(0, "init")))
    generator = stream(0, "inputs")
    x, given = (torch.randn(2, 48, dim, generator=generator) for dim in (3, 6))
    level, params = torch.randn(2, generator=generator), torch.randn(2, 2, generator=generator)

    def moved(tokens, axis):
        return tokens.unflatten(1, channel.shape).roll(1, axis).flatten(1, 2)

    out = net(x, level, given, params)
    along, across = (net(moved(x, axis), level, moved(given, axis), params) for axis in (1, 2))
    torch.testing.assert_close(along, moved(out, 1))
    assert (across - moved(out, 2)).abs().max() > 1e-3
