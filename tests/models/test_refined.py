import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lines import on_line
from ups.models.autoencoder import Codec, IdentityPatches
from ups.models.emulator import Emulator
from ups.models.flux_law import FluxLaw
from ups.models.normalizer import Normalizer
from ups.models.refined import Refined
from ups.streams import stream
from ups.types import WALL, UserError

FIELDS = on_line(("u",), ("",), 2.0, 0.05, origin=-1.0, conserved=("u",))


def build(factor=2, num_cells=64, fields=FIELDS, spin_up=10):
    fields = replace(fields, grid=fields.grid.resized(num_cells))
    return Refined(factor=factor, spin_up=spin_up).build(fields, stream(0, "codec"))


def smooth(num_cells, waves=3):
    x = (torch.arange(num_cells, dtype=torch.float64) + 0.5) / num_cells
    return (torch.sin(2 * math.pi * waves * x) + 0.3)[None, None]


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_smooth_fields_come_back_at_fourth_order(factor):
    errors = []
    for num_cells in (32, 64, 128):
        codec, u = build(factor, num_cells).double(), smooth(num_cells)
        assert isinstance(codec, Codec)
        tokens = codec.encode(u)
        assert tokens.shape == (1, factor * num_cells, 1)
        errors.append((codec.decode(tokens) - u).abs().max().item())
    assert min(math.log2(a / b) for a, b in pairwise(errors)) > 3.5, errors


@pytest.mark.parametrize("factor", [2, 3])
def test_tokens_are_the_averages_over_the_finer_cells(factor):
    num_cells = 128  # third order: 2e-4 of a wave of 43 cells
    tokens = build(factor, num_cells).double().encode(smooth(num_cells))[0, :, 0]
    edges = torch.arange(factor * num_cells + 1, dtype=torch.float64) / (factor * num_cells)
    integral = -torch.cos(6 * math.pi * edges) / (6 * math.pi) + 0.3 * edges
    torch.testing.assert_close(tokens, integral.diff() * factor * num_cells, rtol=0, atol=3e-4)


def test_the_mean_of_the_tokens_is_that_of_the_samples():
    u = torch.randn(3, 1, 64, generator=stream(0, "u"), dtype=torch.float64)
    torch.testing.assert_close(build().double().encode(u).mean(1), u.mean(2))


def test_points_between_the_samples_are_read_from_the_finer_state():
    codec, u = build(4, 32).double(), smooth(128)
    points = -1 + 2 * (torch.arange(128, dtype=torch.float64) + 0.5) / 128
    values = codec.decode_at(
        codec.encode(u[..., 1::4]), points[None]
    )  # samples off the centres: shifted by 1/256
    shifted = smooth(128 * 8)[..., (8 * torch.arange(128) + 4 - 4) % 1024]
    assert (values - shifted).abs().max() < 2e-2
    coarse = IdentityPatches().build(on_line(cells=32), stream(0, "codec")).double()
    assert torch.equal(coarse.decode(coarse.encode(u[..., 1::4])), u[..., 1::4])


def test_other_boundaries_are_refused():
    fields = on_line(("u",), ("",), 1.0, 0.1, boundary=WALL)
    with pytest.raises(UserError, match="periodic"):
        build(fields=fields)


def test_an_emulator_that_spins_up_knows_where_in_a_cell_a_front_is():
    """A steep front, seen from a smooth earlier frame, is placed better than from its last frame alone."""
    num_cells, fine = 64, 1024
    reference = build(fine // num_cells, num_cells, spin_up=1)
    start = smooth(num_cells, waves=1).float()

    def emulator(codec):
        operator = FluxLaw().build(codec, FIELDS, stream(0, "operator"))
        with torch.no_grad():
            operator.speed[1], operator.log_diffusion[0] = 0.2, math.log(5e-5)
        return Emulator(Normalizer(1, 0), codec, operator, FIELDS)

    params = torch.zeros(1, 0)

    def roll(model, context, num_steps):
        state = model.encode(context, params)
        frames = [model.decode(state)]
        for _ in range(num_steps):
            state = model.advance(state)
            frames.append(model.decode(state))
        return torch.stack(frames, 1)

    truth = roll(emulator(reference), start[:, None], 12)
    last, spun = (
        (roll(emulator(build(8, num_cells, spin_up=n)), truth[:, :9], 4) - truth[:, 8:])
        .square()
        .mean()
        .sqrt()
        for n in (1, 10)
    )
    assert spun < last / 3, (spun, last)


def test_each_frame_pulls_the_state_by_its_share_of_what_differs():
    fields = replace(FIELDS, grid=FIELDS.grid.resized(64))
    context = torch.randn(2, 5, 1, 64, generator=stream(1, "context"))
    params = torch.zeros(2, 0)
    for gain in (0.0, 0.3, 1.0):
        codec = Refined(spin_up=3, gain=gain).build(fields, stream(0, "codec"))
        operator = FluxLaw().build(codec, fields, stream(0, "operator"))
        model = Emulator(Normalizer(1, 0), codec, operator, fields)
        assert model.frames_read == 3
        state = model.encode(context[:, 2:3], params)
        for frame in (3, 4):
            tokens, _ = model.advance(state)
            differs = codec.encode(context[:, frame] - codec.decode(tokens))
            state = tokens + gain * (differs - differs.mean(1, keepdim=True)), params
        torch.testing.assert_close(model.encode(context, params)[0], state[0], rtol=1e-4, atol=1e-5)


def test_a_pull_keeps_the_integral_of_a_conserved_field_and_moves_that_of_another():
    fields = on_line(("u", "v"), conserved=("u",), cells=16)
    codec = Refined(gain=0.5).build(fields, stream(0, "codec"))
    frames = torch.randn(3, 2, 16, generator=stream(2, "frames"))
    tokens = torch.zeros(3, 32, 2)
    moved = codec.pulled(tokens, frames).mean(1)
    torch.testing.assert_close(moved[:, 0], torch.zeros(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(moved[:, 1], 0.5 * frames[:, 1].mean(1), rtol=0, atol=1e-6)
