import torch
from torch import nn

from ups.nets.conv import (
    ConvDecoder,
    ConvEncoder,
    DilatedBlock,
    DilatedResNet,
    ResidualBlock,
    circular_conv,
    local_conv,
)
from ups.streams import stream


def noise(*shape):
    return torch.randn(shape, generator=stream(0, "x"), dtype=torch.float64)


def filled(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=stream(0, "fill"))
    return module.double()


def test_the_circular_convolution_is_the_wrapped_sum():
    layer, x = filled(circular_conv(1, 1, 5, dilation=2)), noise(1, 1, 12)
    expected = layer.bias + sum(layer.weight[0, 0, tap] * x.roll(-2 * (tap - 2), dims=-1) for tap in range(5))
    torch.testing.assert_close(layer(x), expected)


def test_residual_and_dilated_networks_commute_with_shifts():
    x = noise(2, 3, 20)
    for net in (ResidualBlock(3, 5), ResidualBlock(3, 3), DilatedResNet(3, 2, 8, 1, (1, 2, 4))):
        net = filled(net)
        torch.testing.assert_close(net(x.roll(7, -1)), net(x).roll(7, -1))


def test_a_residual_block_with_a_silent_body_passes_its_input():
    block, x = ResidualBlock(3, 3).double(), noise(2, 3, 8)
    for parameter in block.body[-1].parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)


def test_dilations_reach_as_far_as_they_say():
    block = filled(DilatedBlock(2, (1, 2, 4)))
    x = torch.zeros(1, 2, 40, dtype=torch.float64)
    touched = (block(x.index_fill(2, torch.tensor(20), 1.0)) - block(x)).abs().sum(1)[0] > 0
    assert touched.nonzero().squeeze(1).tolist() == list(range(13, 28))


def test_networks_that_predict_a_change_start_at_zero():
    assert not DilatedResNet(1, 1, 8, 2)(torch.ones(2, 1, 32)).any()
    assert not ConvEncoder(1, 4, 8, 2)(torch.ones(2, 1, 32)).any()
    assert not ConvDecoder(4, 1, 8, 2)(torch.ones(2, 8, 4)).any()


def test_shifting_by_one_token_shifts_the_tokens():
    encoder, decoder = filled(ConvEncoder(1, 3, 8, 2)), filled(ConvDecoder(3, 2, 8, 2))
    x = noise(2, 1, 32)
    torch.testing.assert_close(encoder(x.roll(4, -1)), encoder(x).roll(1, 1))
    tokens = encoder(x)
    assert tokens.shape == (2, 8, 3)
    torch.testing.assert_close(decoder(tokens.roll(1, 1)), decoder(tokens).roll(4, -1))


def test_dilated_between_walls_it_does_what_it_does_to_the_mirrored_plane():
    walled = filled(local_conv(2, 3, 3, (False, True), dilation=4))
    periodic = filled(local_conv(2, 3, 3, (False, False), dilation=4))
    x = noise(2, 2, 10, 8)
    whole = periodic(torch.cat([x, x.flip(3)], 3))
    torch.testing.assert_close(walled(x), whole[..., :8])


def test_on_a_plane_networks_commute_with_shifts_along_what_repeats():
    x = noise(2, 3, 12, 10)
    for net in (ResidualBlock(3, 5, (False, True)), DilatedResNet(3, 2, 8, 1, (1, 2, 4), (False, True))):
        net = filled(net)
        torch.testing.assert_close(net(x.roll(7, 2)), net(x).roll(7, 2))
        assert not torch.allclose(net(x.roll(3, 3)), net(x).roll(3, 3))
