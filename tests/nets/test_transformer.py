import pytest
import torch
from torch import nn

from ups.nets.blocks import MLP
from ups.nets.transformer import (
    Attention,
    SwiGLU,
    TransformerBlock,
    TransformerStack,
    TransformerUNet,
    WindowAttention,
    interpolate_twice,
)
from ups.streams import stream


def noise(*shape, name="x"):
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


def filled(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=stream(0, "fill"))
    return module.double()


def test_attention_is_the_softmax_average_that_defines_it():
    layer, x, context = filled(Attention(6, 2, context_dim=4)), noise(2, 3, 6), noise(2, 5, 4, name="c")
    key_value = layer.to_key_value(context)
    heads = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        q = layer.to_query(x)[..., part]
        k, v = key_value[..., :6][..., part], key_value[..., 6:][..., part]
        eps = torch.finfo(torch.float64).eps
        q = q / (q.square().mean(-1, keepdim=True) + eps).sqrt() * layer.query_norm.weight
        k = k / (k.square().mean(-1, keepdim=True) + eps).sqrt() * layer.key_norm.weight
        heads.append(torch.softmax(q @ k.mT / 3**0.5, dim=-1) @ v)
    torch.testing.assert_close(layer(x, context), layer.project(torch.cat(heads, dim=-1)))


def test_attention_does_not_know_the_order_of_its_context():
    layer, x, context = filled(Attention(6, 2)), noise(2, 3, 6), noise(2, 5, 6, name="c")
    torch.testing.assert_close(layer(x, context), layer(x, context.flip(1)))


def test_a_window_is_an_island_and_a_shift_moves_its_shores():
    x, bumped = noise(1, 8, 4), noise(1, 8, 4)
    bumped[:, 1] += 1
    for shift, island in ((0, [0, 1, 2, 3]), (2, [0, 1, 6, 7])):
        layer = filled(WindowAttention(4, 2, window=4, shift=shift))
        changed = (layer(bumped) - layer(x)).abs().sum(-1)[0] > 0
        assert changed.nonzero().squeeze(1).tolist() == island


def test_one_window_over_all_tokens_is_plain_attention():
    layer, x = filled(WindowAttention(4, 2, window=8, shift=0)), noise(2, 8, 4)
    torch.testing.assert_close(layer(x), layer.attention(x, x))


def test_two_blocks_with_moved_windows_connect_neighbouring_windows():
    stack, x = filled(TransformerStack(8, 4, 2, 2, 4, 3, MLP)), noise(1, 8, 4)
    bumped = x.clone()
    bumped[:, 1, 0] += 1
    condition = noise(1, 3, name="c")
    assert ((stack(bumped, condition) - stack(x, condition)).abs().sum(-1) > 0).all()


def test_a_block_ignores_the_condition_until_its_modulation_has_learned():
    block, x = TransformerBlock(4, 2, 8, 0, 3, SwiGLU).double(), noise(2, 8, 4)
    a, b = noise(2, 3, name="a"), noise(2, 3, name="b")
    assert torch.equal(block(x, a), block(x, b))
    assert not torch.equal(filled(block)(x, a), block(x, b))


def test_swiglu_is_its_formula_and_costs_what_an_mlp_does():
    layer, x = filled(SwiGLU(6, 12)), noise(3, 6)
    gate, value = layer.project_in(x)[:, :8], layer.project_in(x)[:, 8:]
    torch.testing.assert_close(layer(x), layer.project_out(gate * torch.sigmoid(gate) * value))
    count = {kind: sum(p.numel() for p in kind(96, 192).parameters()) for kind in (SwiGLU, MLP)}
    assert count[SwiGLU] == pytest.approx(count[MLP], rel=0.01)


def test_doubling_the_tokens_keeps_constants_and_straight_lines():
    ramp = torch.arange(8, dtype=torch.float64)[None, :, None]
    fine = interpolate_twice(ramp)[0, :, 0]
    torch.testing.assert_close(fine[1:-1], torch.arange(16, dtype=torch.float64)[1:-1] / 2 - 0.25)
    assert torch.equal(interpolate_twice(torch.ones(1, 4, 2)), torch.ones(1, 8, 2))


def test_the_u_shape_is_a_plain_stack_when_it_has_one_resolution():
    u, x = filled(TransformerUNet(8, 4, (2,), 2, 4, 3, MLP)), noise(2, 8, 4)
    condition = noise(2, 3, name="c")
    torch.testing.assert_close(u(x, condition), u.bottom(x, condition))


def test_the_u_shape_uses_both_its_bottom_and_its_skips():
    u, x, condition = (
        filled(TransformerUNet(8, 4, (1, 1, 1), 2, 8, 3, MLP)),
        noise(2, 8, 4),
        noise(2, 3, name="c"),
    )
    reference = u(x, condition)
    for part in (u.bottom, u.skip, u.merge):
        saved = [p.detach().clone() for p in part.parameters()]
        for parameter in part.parameters():
            nn.init.zeros_(parameter)
        assert not torch.allclose(u(x, condition), reference)
        for parameter, value in zip(part.parameters(), saved, strict=True):
            parameter.data = value
