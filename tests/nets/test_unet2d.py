import math

import pytest
import torch
from torch import nn

from ups.nets.unet2d import PixelAttention, UNet2d
from ups.streams import stream


def images(batch=3, side=16, dtype=torch.float64):
    x = torch.randn(batch, 3, side, side, generator=stream(0, "x"), dtype=dtype)
    return x, torch.randn(batch, 5, generator=stream(0, "condition"), dtype=dtype)


def filled(**settings):
    net = UNet2d(3, **{"width": 8, "cond_dim": 5, "attention": (1, 4)} | settings).double()
    generator = stream(0, "fill")
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return net


def convolutions(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]


def test_the_output_starts_at_zero_and_no_block_speaks():
    net = UNet2d(3, 8, 5, attention=(1, 4)).double()
    x, condition = images()
    assert not net(x, condition).any()
    quiet = [*net.down[0], *net.bottom]
    h = torch.randn(3, 8, 16, 16, generator=stream(0, "h"), dtype=torch.float64)
    assert torch.equal(quiet[0](h, torch.randn(3, 32, generator=stream(0, "c"), dtype=torch.float64)), h)


def count(width, cond_dim, **settings):
    return sum(parameter.numel() for parameter in UNet2d(3, width, cond_dim, **settings).parameters())


def test_at_width_128_the_parameters_are_as_many_as_those_of_the_published_network():
    assert count(128, 128, attention=(1, 4)) == 35_746_307  # google/ddpm-cifar10-32


def test_at_width_32_there_are_2_149_251_parameters_and_attention_is_where_it_was_asked_for():
    assert count(32, 64) == 2_149_251
    per_attention = 2 * 64 + (64 + 1) * 3 * 64 + (64 + 1) * 64
    for levels, times in (((1,), 5), ((4,), 1), ((2, 3, 4), 11)):
        assert count(32, 64, attention=levels) - count(32, 64) == times * per_attention


def test_every_skip_is_read():
    net = filled()
    x, condition = images(1)
    reads = [block.conv_in.in_channels for blocks in net.up for block in blocks]
    skips, from_below = 4 * [8] + 8 * [16], 10 * [16] + 2 * [8]
    assert sum(reads) == sum(skips) + sum(from_below)
    seen = []
    for blocks in net.down:
        for block in blocks:
            block.register_forward_hook(lambda *call: call[2].retain_grad() or seen.append(call[2]))
    net(x, condition).square().sum().backward()
    assert len(seen) == 8
    assert all(h.grad.abs().amax() > 0 for h in seen)


def test_with_wrapped_borders_shifts_by_the_total_stride_shift_the_output_and_smaller_ones_do_not():
    net = filled()
    for layer in convolutions(net):
        layer.padding_mode = "circular"
    x, condition = images()
    out = net(x, condition)
    for axis in (-2, -1):
        torch.testing.assert_close(net(x.roll(8, axis), condition), out.roll(8, axis))
        assert not torch.allclose(net(x.roll(1, axis), condition), out.roll(1, axis))


def test_transposed_kernels_give_the_transposed_image():
    net = filled()
    x, condition = images()
    out = net(x, condition)
    with torch.no_grad():
        for layer in convolutions(net):
            layer.weight.copy_(layer.weight.mT.clone())
    torch.testing.assert_close(net(x.mT, condition), out.mT)


def test_an_image_does_not_know_its_neighbors_in_the_batch_nor_its_layout_in_memory():
    net = filled()
    x, condition = images()
    out = net(x, condition)
    torch.testing.assert_close(net(x[1:2], condition[1:2]), out[1:2])
    torch.testing.assert_close(net(x.to(memory_format=torch.channels_last), condition), out)


def test_the_condition_of_an_image_changes_this_image_alone():
    net = filled()
    x, condition = images()
    other = condition.clone()
    other[1] += 1
    changed = (net(x, other) - net(x, condition)).abs().amax((1, 2, 3))
    assert changed[1] > 1e-3
    assert changed[[0, 2]].amax() < 1e-10


def test_every_parameter_is_reached_once_the_zeros_are_gone():
    net = filled(width=16)
    net(*images()).square().sum().backward()
    for name, parameter in net.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, name
        if name.endswith("to_query_key_value.bias"):  # softmax is blind to a shift of all keys
            gradient = torch.cat([gradient[:32], gradient[64:]])
        by_channel = gradient.flatten(1).norm(dim=1) if gradient.ndim > 1 else gradient.abs()
        assert by_channel.amin() > 1e-8 * by_channel.amax() > 0, name


def test_attention_is_the_softmax_written_pixel_by_pixel():
    attention = PixelAttention(8).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter, generator=stream(0, "fill"))
    x = torch.randn(1, 8, 2, 3, generator=stream(0, "x"), dtype=torch.float64)
    pixels = attention.norm(x)[0].reshape(8, 6).T
    weight, bias = attention.to_query_key_value.weight[:, :, 0, 0], attention.to_query_key_value.bias
    query, key, value = (pixels @ weight.T + bias).split(8, dim=1)
    for pixel in range(6):
        logits = torch.stack([query[pixel] @ key[other] / math.sqrt(8) for other in range(6)])
        read = (logits.exp() / logits.exp().sum()) @ value
        project = attention.project.weight[:, :, 0, 0] @ read + attention.project.bias
        row, column = divmod(pixel, 3)
        torch.testing.assert_close(attention(x)[0, :, row, column], x[0, :, row, column] + project)


def test_hessian_vector_products_agree_with_differences_of_gradients_for_a_batch_of_vectors():
    net = filled(multipliers=(1, 2), num_blocks=1, attention=(1,))
    x, condition = images(2, 8)
    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    vectors = {
        name: torch.randn(2, *p.shape, generator=stream(0, name), dtype=p.dtype)
        for name, p in parameters.items()
    }

    def loss(parameters):
        return torch.func.functional_call(net, parameters, (x, condition)).square().mean()

    gradient = torch.func.grad(loss)
    products = torch.func.vmap(lambda v: torch.func.jvp(gradient, (parameters,), (v,))[1])(vectors)
    for row in range(2):
        step = 1e-6

        def moved(sign, row=row, step=step):
            return gradient({name: p + sign * step * vectors[name][row] for name, p in parameters.items()})

        ahead, behind = moved(1), moved(-1)
        for name in parameters:
            difference = (ahead[name] - behind[name]) / (2 * step)
            scale = difference.abs().amax().clamp(min=1e-3).item()
            torch.testing.assert_close(products[name][row], difference, rtol=1e-4, atol=1e-4 * scale)


def test_dropout_acts_in_training_alone():
    net = filled(dropout=0.5)
    x, condition = images()
    with torch.random.fork_rng(devices=[]):
        assert not torch.allclose(net(x, condition), net(x, condition))
    net.eval()
    assert torch.equal(net(x, condition), net(x, condition))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_any_number_of_levels_gives_an_image_of_the_same_size(levels):
    net = filled(multipliers=(1,) * levels, num_blocks=3, attention=())
    x, condition = images(1, 8)
    assert net(x, condition).shape == x.shape
