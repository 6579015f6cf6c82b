import torch
from torch import nn

from ups.nets.unet import UNet
from ups.streams import stream


def filled():
    net = UNet(2, 1, 4, (1, 2, 2)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3, generator=stream(0, "fill"))
    return net, torch.randn(2, 2, 32, generator=stream(0, "x"), dtype=torch.float64)


def test_shifts_by_a_coarse_cell_shift_the_output_and_finer_ones_do_not():
    net, x = filled()
    torch.testing.assert_close(net(x.roll(4, -1)), net(x).roll(4, -1))
    assert not torch.allclose(net(x.roll(1, -1)), net(x).roll(1, -1))


def test_the_bottom_sees_the_whole_line_and_the_skips_keep_the_cells_apart():
    net, x = filled()
    bumped = x.clone()
    bumped[..., 0] += 1
    changed = (net(bumped) - net(x)).abs()[0, 0] > 0
    assert changed.sum() > 16
    for parameter in net.unpool.parameters():
        nn.init.zeros_(parameter)
    changed = (net(bumped) - net(x)).abs()[0, 0] > 0
    assert 0 < changed.sum() < 16


def test_the_output_starts_at_zero():
    assert not UNet(1, 1, 4)(torch.ones(1, 1, 16)).any()


def test_in_a_channel_it_commutes_with_shifts_along_and_sees_no_wrap_across():
    net = UNet(2, 1, 4, (1, 2), walls=(False, True)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3, generator=stream(0, "fill"))
    x = torch.randn(2, 2, 16, 64, generator=stream(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(net(x.roll(2, 2)), net(x).roll(2, 2))
    bumped = x.clone()
    bumped[..., 0] += 1
    changed = (net(bumped) - net(x)).abs().amax((0, 1, 2)) > 0
    assert changed[:4].all()
    assert not changed[-8:].any()  # the other wall is far away, not next door
