import math

import pytest
import torch

from lines import on_line
from ups.config import validate
from ups.models.ablation import dead_branches
from ups.models.autoencoder import Codec, Convolutional, IdentityPatches, Perceiver, smooth_basis
from ups.models.refined import Refined
from ups.streams import stream
from ups.types import UserError

FIELDS = on_line(("u", "v"), ("", ""), 3.0, 0.1, origin=-1.0, cells=32)
NUM_CELLS = 32
CENTRES = -1 + 3 * (torch.arange(NUM_CELLS) + 0.5) / NUM_CELLS
KINDS = {
    "cells": IdentityPatches(),
    "patches": IdentityPatches(patch_size=4),
    "refined": Refined(factor=2),
    "convolutional": Convolutional(num_levels=2, dim=3, width=8),
    "perceiver": Perceiver(num_tokens=4, dim=5, hidden_dim=16, num_heads=2, depth=1, num_frequencies=6),
}


def build(kind, seed=0):
    return KINDS[kind].build(FIELDS, stream(seed, "init"))


def frames(num=3):
    return torch.randn(num, 2, NUM_CELLS, generator=stream(0, "frames"))


def disturb(module):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_have_the_announced_shape_and_come_back_as_frames(kind):
    codec = build(kind)
    assert isinstance(codec, Codec)
    tokens = codec.encode(frames())
    assert tokens.shape == (3, codec.num_tokens, codec.dim)
    assert codec.decode(tokens).shape == frames().shape


@pytest.mark.parametrize("kind", ["cells", "patches"])
def test_patches_lose_nothing_to_the_last_bit(kind):
    codec = build(kind)
    assert torch.equal(codec.decode(codec.encode(frames())), frames())


def test_a_patch_holds_neighbouring_cells():
    codec, u = build("patches"), frames()
    assert torch.equal(codec.encode(u)[0, 1], u[0, :, 4:8].flatten())


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_at_the_centres_is_decoding(kind):
    codec = disturb(build(kind))
    tokens = codec.encode(frames())
    torch.testing.assert_close(
        codec.decode_at(tokens, CENTRES.expand(3, -1)), codec.decode(tokens), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_periodic_in_the_domain(kind):
    codec = disturb(build(kind))
    tokens, points = codec.encode(frames()), torch.tensor([[-0.9, 0.1234, 1.95]]).expand(3, -1)
    out = codec.decode_at(tokens, points)
    torch.testing.assert_close(codec.decode_at(tokens, points + 3), out, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(codec.decode_at(tokens, points + 1.3), out, atol=1e-2)


def test_a_smooth_frame_is_known_between_its_cells():
    codec = build("patches")
    u = torch.sin(2 * math.pi * CENTRES / 3).expand(1, 2, -1)
    points = torch.linspace(-1, 2, 50)[None]
    found = codec.decode_at(codec.encode(u), points)
    torch.testing.assert_close(found[0, 0], torch.sin(2 * math.pi * points[0] / 3), atol=2e-4, rtol=0)


def test_the_convolutional_codec_starts_as_the_identity_when_a_token_can_hold_its_patch():
    codec = Convolutional(num_levels=2, dim=8, width=8).build(FIELDS, stream(0, "init"))
    torch.testing.assert_close(codec.decode(codec.encode(frames())), frames())


def test_the_convolutional_codec_starts_as_a_projection_that_keeps_patch_means():
    codec, u = (
        Convolutional(num_levels=2, dim=2, width=8).build(FIELDS, stream(0, "init")),
        frames(),
    )
    once = codec.decode(codec.encode(u))
    torch.testing.assert_close(codec.decode(codec.encode(once)), once)
    torch.testing.assert_close(once, u.unflatten(-1, (-1, 4)).mean(-1).repeat_interleave(4, -1))


def test_the_smooth_basis_is_orthonormal_and_ordered():
    basis = smooth_basis(2, 4, 8)
    torch.testing.assert_close(basis @ basis.T, torch.eye(8))
    torch.testing.assert_close(basis[0], torch.tensor([0.5] * 4 + [0.0] * 4))
    changes = basis.unflatten(1, (2, 4)).diff(dim=-1).square().sum((1, 2))
    assert (changes.diff() > -1e-6).all()


@pytest.mark.parametrize("kind", ["convolutional", "perceiver"])
def test_every_parameter_of_a_codec_is_used_and_learns(kind):
    codec = build(kind)
    assert dead_branches(codec, lambda: codec.decode(codec.encode(frames()))) == []
    disturb(codec)
    (codec.decode(codec.encode(frames())) - frames()).square().mean().backward()
    silent = [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("kind", ["convolutional", "perceiver"])
def test_equal_generators_build_equal_codecs(kind):
    a, b, c = build(kind, 0).state_dict(), build(kind, 0).state_dict(), build(kind, 1).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_two_is_two_batches_of_one(kind):
    codec, u = disturb(build(kind)), frames(2)
    apart = torch.cat([codec.decode(codec.encode(u[:1])), codec.decode(codec.encode(u[1:]))])
    torch.testing.assert_close(codec.decode(codec.encode(u)), apart, rtol=1e-4, atol=1e-5)


def test_settings_that_cannot_work_are_named():
    with pytest.raises(UserError, match=r"patch_size.*3 does not divide the 32 cells"):
        IdentityPatches(patch_size=3).build(FIELDS, stream(0, "init"))
    with pytest.raises(UserError, match=r"num_levels.*64 does not divide"):
        Convolutional(num_levels=6).build(FIELDS, stream(0, "init"))
    with pytest.raises(UserError, match="hidden_dim 10 is not a multiple of num_heads 4"):
        validate(Perceiver, {"hidden_dim": 10})
