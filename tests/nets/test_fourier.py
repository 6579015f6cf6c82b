import math

import pytest
import torch
from torch import nn

from ups.nets.fourier import (
    FNO,
    CosineConv1d,
    SpectralConv1d,
    SpectralLocalBlock,
    SpectralLocalNet,
    flatten_grid,
    spectral_conv,
)
from ups.streams import stream


def noise(*shape, name="x"):
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


def filled(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2, generator=stream(0, "fill"))
    return module.double()


def reflected(module):
    """The network with every kernel mirrored: complex conjugates in Fourier space, flipped taps in space."""
    for layer in module.modules():
        if isinstance(layer, SpectralConv1d):
            layer.weight.data[1] *= -1
        elif isinstance(layer, nn.Conv1d):
            layer.weight.data = layer.weight.data.flip(-1)
    return module


def test_the_spectral_convolution_is_the_sum_that_defines_it():
    num_cells, modes = 12, 4
    layer, x = filled(SpectralConv1d(2, 3, modes)), noise(5, 2, num_cells)
    i = torch.arange(num_cells, dtype=torch.float64)
    expected = torch.zeros(5, 3, num_cells, dtype=torch.float64)
    for k in range(modes):
        wave = torch.exp(-2j * math.pi * k * i / num_cells)
        coefficient = (x * wave).sum(-1) / num_cells
        product = coefficient @ torch.complex(layer.weight[0, k], layer.weight[1, k])
        term = (product[..., None] * wave.conj()).real
        expected += term if k == 0 else 2 * term
    torch.testing.assert_close(layer(x), expected)


def test_the_spectral_convolution_is_that_of_the_fast_transform():
    layer, x = filled(SpectralConv1d(3, 2, 8)), noise(4, 3, 31)
    spectrum = torch.einsum("bik,kio->bok", torch.fft.rfft(x)[..., :8], torch.complex(*layer.weight))
    torch.testing.assert_close(layer(x), torch.fft.irfft(spectrum, n=31))


def test_a_layer_that_was_used_in_inference_mode_can_still_be_trained():
    layer = SpectralConv1d(1, 1, 3)
    with torch.inference_mode():
        layer(torch.ones(1, 1, 77))
    layer(torch.ones(1, 1, 77)).sum().backward()
    assert layer.weight.grad is not None


def test_more_modes_than_the_line_has_are_refused():
    with pytest.raises(ValueError, match="8 modes need at least 15 cells"):
        SpectralConv1d(1, 1, 8)(torch.ones(1, 1, 14))


def test_the_spectral_convolution_does_not_depend_on_the_resolution():
    layer, coefficients = filled(SpectralConv1d(1, 2, 9)), noise(6)

    def wave(num_cells):
        phase = torch.arange(num_cells, dtype=torch.float64) / num_cells
        return sum(c * torch.cos(2 * math.pi * k * phase + k) for k, c in enumerate(coefficients))[None, None]

    torch.testing.assert_close(layer(wave(32)), layer(wave(96))[..., ::3])


def test_the_spectral_convolution_drops_what_is_above_its_modes():
    phase = torch.arange(32, dtype=torch.float64) / 32
    for k, expected in ((3, True), (4, False)):
        out = filled(SpectralConv1d(1, 1, 4))(torch.cos(2 * math.pi * k * phase)[None, None])
        assert (out.abs().max() > 1e-6) == expected


def test_the_weights_are_real_numbers_that_both_receive_gradients():
    layer = SpectralConv1d(2, 2, 3)
    assert layer.weight.dtype == torch.float32
    layer(noise(4, 2, 8).float()).square().sum().backward()
    assert layer.weight.grad[:, 1:].all()
    assert layer.weight.grad[0, 0].all()


NETS = {
    "fno": (lambda: FNO(2, 2, width=6, modes=5), False),
    "block": (lambda: SpectralLocalBlock(2, 5, 7, cond_dim=4), True),
    "net": (lambda: SpectralLocalNet(2, 2, 6, 2, 5, 7, cond_dim=4), True),
}


@pytest.mark.parametrize("name", NETS)
def test_shifting_the_input_shifts_the_output(name):
    make, conditioned = NETS[name]
    net, x = filled(make()), noise(3, 2, 16)
    condition = (noise(3, 4, name="c"),) if conditioned else ()
    torch.testing.assert_close(net(x.roll(5, -1), *condition), net(x, *condition).roll(5, -1))


@pytest.mark.parametrize("name", NETS)
def test_the_mirrored_network_sees_the_mirror_image(name):
    make, conditioned = NETS[name]
    net, x = filled(make()), noise(3, 2, 16)
    condition = (noise(3, 4, name="c"),) if conditioned else ()
    out = net(x, *condition)
    torch.testing.assert_close(reflected(net)(x.flip(-1), *condition), out.flip(-1))


def test_padding_with_zero_cells_breaks_periodicity_as_it_does_in_pdebench():
    net, x = filled(FNO(1, 1, width=6, modes=5, padding=2)), noise(1, 1, 16)
    assert net(x).shape == x.shape
    assert not torch.allclose(net(x.roll(5, -1)), net(x).roll(5, -1))


def test_the_head_of_the_spectral_and_local_network_starts_at_zero():
    net = SpectralLocalNet(1, 1, 6, 2, 5, 7, cond_dim=4)
    assert not net(torch.ones(2, 1, 16), torch.ones(2, 4)).any()


def test_the_fno_is_linear_in_its_spectral_path_when_the_others_are_cut():
    net, x = filled(FNO(1, 1, width=4, modes=5, num_layers=1)), noise(2, 1, 16)
    for parameter in (*net.pointwise.parameters(), net.lift.bias):
        nn.init.zeros_(parameter)
    torch.testing.assert_close(net.spectral[0](net.lift(2 * x)), 2 * net.spectral[0](net.lift(x)))
    assert not torch.allclose(net(x), net(0 * x))


def test_cosines_with_real_weights_are_the_spectral_convolution_of_the_mirrored_double():
    between, around, x = filled(CosineConv1d(2, 3, 5)), filled(SpectralConv1d(2, 3, 5)), noise(4, 2, 9)
    with torch.no_grad():
        around.weight[0], around.weight[1] = between.weight, 0
    torch.testing.assert_close(between(x), around(torch.cat([x, x.flip(-1)], -1))[..., :9])


def test_all_cosines_of_a_line_hold_it_whole():
    layer, x = CosineConv1d(2, 2, 7).double(), noise(3, 2, 7)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2).expand(7, 2, 2))
    torch.testing.assert_close(layer(x), x)
    with pytest.raises(ValueError, match="8 cosines need at least as many cells, not 7"):
        CosineConv1d(1, 1, 8)(torch.ones(1, 1, 7))


def test_on_a_plane_the_spectral_convolution_is_the_sum_of_those_along_its_axes():
    layer, x = filled(spectral_conv(2, 3, 2, [False, True])), noise(4, 2, 6, 5)
    expected = torch.zeros(4, 3, 6, 5, dtype=torch.float64)
    for column in range(5):
        expected[..., column] += layer.along[0](x[..., column])
    for row in range(6):
        expected[:, :, row] += layer.along[1](x[:, :, row])
    torch.testing.assert_close(layer(x), expected)
    assert layer.along[1].modes == 2 * layer.along[0].modes


PLANE = [False, True]
ON_PLANES = {
    "fno": (lambda walls: FNO(2, 2, width=6, modes=2, walls=walls), False),
    "block": (lambda walls: SpectralLocalBlock(2, 2, 3, cond_dim=4, walls=walls), True),
    "net": (lambda walls: SpectralLocalNet(2, 2, 6, 2, 2, 3, cond_dim=4, walls=walls), True),
}


@pytest.mark.parametrize("name", ON_PLANES)
def test_on_a_plane_it_commutes_with_shifts_around_and_not_between_walls(name):
    make, conditioned = ON_PLANES[name]
    net, x = filled(make(PLANE)), noise(3, 2, 8, 6)
    condition = (noise(3, 4, name="c"),) if conditioned else ()
    out = net(x, *condition)
    assert out.shape == x.shape
    torch.testing.assert_close(net(x.roll(3, 2), *condition), out.roll(3, 2))
    assert not torch.allclose(net(x.roll(3, 3), *condition), out.roll(3, 3))


@pytest.mark.parametrize("name", ON_PLANES)
def test_what_is_the_same_along_an_axis_stays_so_between_its_walls(name):
    make, conditioned = ON_PLANES[name]
    net, x = filled(make(PLANE)), noise(3, 2, 8, 1).expand(-1, -1, -1, 6)
    condition = (noise(3, 4, name="c"),) if conditioned else ()
    out = net(x, *condition)
    torch.testing.assert_close(out, out[..., :1].expand_as(out))


@pytest.mark.parametrize("name", ON_PLANES)
def test_a_network_of_lines_between_walls_sees_them(name):
    make, conditioned = ON_PLANES[name]
    net, x = filled(make([True])), noise(3, 2, 8)
    condition = (noise(3, 4, name="c"),) if conditioned else ()
    assert net(x, *condition).shape == x.shape
    assert not torch.allclose(net(x.roll(3, 2), *condition), net(x, *condition).roll(3, 2))


def test_cells_in_a_row_are_a_line_as_it_is_and_a_plane_row_by_row():
    line, plane = noise(2, 3, 5), noise(2, 3, 5, 4)
    assert flatten_grid(line) is line
    assert torch.equal(flatten_grid(plane)[:, :, 4:8], plane[:, :, 1])
