import pytest
import torch
from torch import nn

from ups.nets.blocks import (
    MLP,
    ConditionEmbedding,
    Conv1d,
    ModulatedPointwise,
    Modulation,
    PointwiseMLP,
    periodic_features,
    scalar_features,
    zero_init,
)
from ups.streams import stream


def test_a_zeroed_layer_is_silent():
    assert not zero_init(nn.Conv1d(3, 2, 5))(torch.ones(1, 3, 9)).any()


def test_periodic_features_are_equal_at_both_ends_of_the_line_and_differ_inside():
    phase = torch.tensor([0.0, 1.0, -2.0, 0.3], dtype=torch.float64)
    features = periodic_features(phase, 8)
    torch.testing.assert_close(features[0], features[1])
    torch.testing.assert_close(features[0], features[2])
    assert (features[0] - features[3]).abs().max() > 0.5


def test_periodic_features_are_an_orthogonal_basis_of_the_lowest_harmonics():
    features = periodic_features((torch.arange(64, dtype=torch.float64) + 0.5) / 64, 8)
    torch.testing.assert_close(features.T @ features, 32 * torch.eye(16, dtype=torch.float64))


def test_scalar_features_hold_the_scalar_and_its_first_harmonics():
    c = torch.tensor([[0.7]])
    expected = torch.tensor([[0.7, *(torch.tensor([0.7, 1.4]).sin()), *(torch.tensor([0.7, 1.4]).cos())]])
    torch.testing.assert_close(scalar_features(c, 2), expected)


def test_modulation_is_the_identity_at_first_and_then_its_formula():
    modulation = Modulation(4, 3)
    h, condition = torch.randn(2, 5, 3, generator=stream(0, "h")), torch.randn(2, 4, generator=stream(0, "c"))
    assert torch.equal(modulation(h, condition), h)
    nn.init.normal_(modulation.linear.weight, generator=stream(0, "w"))
    scale, shift = modulation.linear(condition)[:, None, :].split(3, dim=-1)
    torch.testing.assert_close(modulation(h, condition), h + scale * h + shift)


def test_a_modulated_map_is_linear_at_first_and_then_its_formula():
    layer = ModulatedPointwise(4, 3, 5)
    x, condition = torch.randn(2, 3, 6, generator=stream(0, "x")), torch.randn(2, 4, generator=stream(0, "c"))
    torch.testing.assert_close(layer(x, condition), layer.linear(x.mT).mT)
    for part in (layer.scale, layer.shift):
        nn.init.normal_(part.weight, generator=stream(0, "w"))
    scaled = (1 + layer.scale(condition))[:, :, None] * x
    expected = layer.linear(scaled.mT).mT + layer.shift(condition)[:, :, None]
    torch.testing.assert_close(layer(x, condition), expected)


def test_a_pointwise_mlp_is_an_mlp_in_every_cell():
    pointwise, mlp = PointwiseMLP(3, 7, 2), MLP(3, 7, 2)
    for layer, other in zip(pointwise, mlp, strict=True):
        if isinstance(other, nn.Linear):
            other.weight.data, other.bias.data = layer.weight.data[..., 0], layer.bias.data
    x = torch.randn(2, 3, 5, generator=stream(0, "x"))
    torch.testing.assert_close(pointwise(x), mlp(x.mT).mT)


def test_the_embedding_of_a_condition_tells_scalars_apart():
    embedding = ConditionEmbedding(2, 8)
    a, b = embedding(torch.tensor([[1.0, 0.0]])), embedding(torch.tensor([[0.0, 1.0]]))
    assert not torch.allclose(a, b)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 5, "padding": 4, "dilation": 2, "padding_mode": "circular"},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 2, "stride": 2, "bias": False},
    ],
)
def test_the_convolution_equals_that_of_torch(options):
    ours = Conv1d(3, 5, **options).double()
    theirs = nn.Conv1d(3, 5, **options).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 12, generator=stream(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x.mT.contiguous().mT), theirs(x))


def test_the_channels_of_the_convolution_are_next_to_each_other():
    out = nn.functional.gelu(Conv1d(3, 5, 3, padding=1)(torch.ones(2, 3, 12)))
    assert out.mT.is_contiguous()
