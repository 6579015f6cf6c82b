import pytest
import torch
from torch import nn

from ups.nets.conv import circular_conv, local_conv
from ups.nets.extend import extend
from ups.streams import stream


def noise(*shape):
    return torch.randn(shape, generator=stream(0, "x"), dtype=torch.float64)


def doubled(x, walls):
    """The periodic domain that walls make with their mirror images."""
    for place, is_walled in zip(range(-len(walls), 0), walls, strict=True):
        x = torch.cat([x, x.flip(place)], place) if is_walled else x
    return x


def test_a_periodic_axis_repeats_and_a_wall_reflects_about_the_face():
    x = torch.arange(4.0)[None, None]
    assert extend(x, 2, [False])[0, 0].tolist() == [2, 3, 0, 1, 2, 3, 0, 1]
    assert extend(x, 2, [True])[0, 0].tolist() == [1, 0, 0, 1, 2, 3, 3, 2]
    assert torch.equal(extend(x, 0, [True]), x)


@pytest.mark.parametrize(
    "walls", [[False, False], [True, False], [False, True], [True, True], [True, False, True]]
)
def test_the_extended_grid_is_a_cut_of_the_mirrored_periodic_one(walls):
    x = noise(2, 3, *(5, 4, 6)[: len(walls)])
    whole, width = doubled(x, walls), 3
    for place in range(-len(walls), 0):
        cells = whole.shape[place]
        whole = torch.cat([whole.narrow(place, cells - width, width), whole, whole], place)
    cut = tuple(slice(0, cells + 2 * width) for cells in x.shape[2:])
    assert torch.equal(extend(x, width, walls), whole[:, :, *cut])


def test_an_axis_that_is_too_short_is_said():
    with pytest.raises(ValueError, match=r"3 cells more at each end need axes as long, not \(5, 2\)"):
        extend(noise(1, 1, 5, 2), 3, [True, False])


@pytest.mark.parametrize("walls", [[True], [False, False], [True, False], [True, True], [False, True, True]])
def test_a_convolution_between_walls_is_that_of_the_mirrored_periodic_domain(walls):
    layer, x = local_conv(2, 3, 3, walls).double(), noise(4, 2, *(6, 5, 4)[: len(walls)])
    around = local_conv(2, 3, 3, [False] * len(walls)).double()
    kernel = next(
        module for module in around.modules() if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    )
    kernel.load_state_dict(layer[1].state_dict())
    cut = tuple(slice(0, cells) for cells in x.shape[2:])
    torch.testing.assert_close(layer(x), around(doubled(x, walls))[:, :, *cut])


def test_a_convolution_of_what_varies_along_one_axis_is_that_of_the_line():
    plane, line, x = (
        local_conv(2, 3, 5, [False, True]).double(),
        circular_conv(2, 3, 5).double(),
        noise(4, 2, 7),
    )
    with torch.no_grad():
        line.weight.copy_(plane[1].weight.sum(-1))
        line.bias.copy_(plane[1].bias)
    result = plane(x[..., None].expand(-1, -1, -1, 6))
    torch.testing.assert_close(result, line(x)[..., None].expand_as(result))
