import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from lines import on_its_grid, on_line
from ups.config import validate
from ups.models.ablation import dead_branches
from ups.models.autoencoder import IdentityPatches, Perceiver
from ups.models.normalizer import Normalizer
from ups.models.operator import Operator, SpectralFlux, SpectralRate, Transformer, UTransformer
from ups.models.waves import divergence
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.types import OPEN, WALL, Axis, Field, Grid, UserError

FIELDS = on_line(("u", "v"), ("", ""), 1.0, 0.1, params=("nu", "speed"), conserved=("u", "v"), cells=32)
NUM_CELLS = 32
CELLS, PATCHES = IdentityPatches(), IdentityPatches(patch_size=4)
KINDS = {
    "spectral_flux": (SpectralFlux(width=8, num_blocks=2, modes=8), CELLS),
    "spectral_rate": (SpectralRate(width=8, num_blocks=2, modes=3, kernel_size=3), PATCHES),
    "transformer": (Transformer(hidden_dim=16, num_heads=2, depth=2, group_size=4), PATCHES),
    "u_transformer": (
        UTransformer(hidden_dim=16, num_heads=2, depths=(1, 1), feed_forward="swiglu"),
        PATCHES,
    ),
}


PLAIN = Normalizer(1, 0)  # which no operator of this file asks for


def build(kind, seed=0, fields=FIELDS):
    settings, codec = KINDS[kind]
    codec = codec.build(fields, stream(0, "codec"))
    return codec, settings.build(codec, fields, stream(seed, "init"))


def inputs(codec, num=3):
    z = torch.randn(num, codec.num_tokens, codec.dim, generator=stream(0, "z"))
    return (
        z,
        0.5 + torch.rand(num, generator=stream(0, "dt")),
        torch.randn(num, 2, generator=stream(0, "params")),
    )


def disturb(module):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_exactly_the_identity_at_initialization(kind):
    codec, operator = build(kind)
    assert isinstance(operator, Operator)
    z, dt, params = inputs(codec)
    assert torch.equal(operator(z, dt, params), z)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_exactly_the_identity_over_no_time(kind):
    codec, operator = build(kind)
    z, dt, params = inputs(codec)
    assert torch.equal(disturb(operator)(z, 0 * dt, params), z)
    assert not torch.equal(operator(z, dt, params), z)


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_have_no_effect_at_first_and_one_after_two_updates(kind):
    codec, operator = build(kind)
    z, dt, params = inputs(codec)
    other = params + 1
    head = operator.net.head[-1] if kind.startswith("spectral") else operator.head[-1]
    nn.init.normal_(
        head.weight, std=0.1, generator=stream(0, "head")
    )  # not silent: it shows what comes before it
    one = torch.ones_like(dt)
    assert torch.equal(operator(z, one, params), operator(z, one, other))
    optimizer = torch.optim.SGD(operator.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (operator(z, one, params) - params.mean(1)[:, None, None]).square().mean().backward()
        optimizer.step()
    assert not torch.allclose(operator(z, one, params), operator(z, one, other), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_used_and_learns(kind):
    codec, operator = build(kind)
    z, dt, params = inputs(codec)
    assert dead_branches(operator, lambda: operator(z, dt, params)) == []
    target = torch.randn(z.shape, generator=stream(0, "target"))
    (disturb(operator)(z, dt, params) - target).square().mean().backward()
    learns = {name: p for name, p in operator.named_parameters() if p.requires_grad}
    silent = [name for name, p in learns.items() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_two_is_two_batches_of_one(kind):
    codec, operator = build(kind)
    z, dt, params = inputs(codec, 2)
    disturb(operator)
    apart = torch.cat([operator(z[i : i + 1], dt[i : i + 1], params[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(operator(z, dt, params), apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_generators_build_equal_operators_and_the_global_one_does_not_move(kind):
    before = torch.get_rng_state()
    a, b, c = (build(kind, seed)[1].state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_a_flux_conserves_the_sum_to_round_off_whatever_the_weights():
    codec, operator = build("spectral_flux")
    z, dt, params = (tensor.double() for tensor in inputs(codec))
    out = disturb(operator).double()(z, dt, params)
    assert (out - z).abs().mean() > 0.1
    torch.testing.assert_close(out.sum(1), z.sum(1), rtol=0, atol=1e-11)


def test_a_field_that_is_not_conserved_may_grow():
    fields = on_line(("u", "v"), ("", ""), 1.0, 0.1, params=("nu", "speed"), conserved=("v",), cells=32)
    codec, operator = build("spectral_flux", fields=fields)
    z, dt, params = (tensor.double() for tensor in inputs(codec))
    change = (disturb(operator).double()(z, dt, params) - z).sum(1)
    assert change[:, 0].abs().min() > 1e-3
    assert change[:, 1].abs().max() < 1e-11


@pytest.mark.parametrize("kind", ["spectral_flux", "spectral_rate"])
def test_convolutions_commute_with_shifts(kind):
    codec, operator = build(kind)
    z, dt, params = (tensor.double() for tensor in inputs(codec))
    disturb(operator).double()
    torch.testing.assert_close(operator(z.roll(5, 1), dt, params), operator(z, dt, params).roll(5, 1))


def test_waves_that_the_data_do_not_have_stay_as_they_are_however_long_the_rollout():
    codec, operator = build("spectral_flux")
    disturb(operator)
    cell = torch.arange(NUM_CELLS) * (2 * torch.pi / NUM_CELLS)
    u, v = torch.sin(cell + 1) + torch.sin(3 * cell), 1.0 + 3e-4 * torch.cos(9 * cell) + torch.cos(5 * cell)
    z = torch.stack([u, v], 1)[None] + 1e-3 * torch.cos(12 * cell)[None, :, None]
    _, dt, params = inputs(codec, 1)

    def moved() -> torch.Tensor:
        return torch.fft.rfft(operator(z, dt, params) - z, dim=1).abs()[0] > 1e-4

    assert moved()[1:].all()
    frames = torch.stack([u, v]).expand(4, 3, 2, NUM_CELLS)
    operator.start_from(codec, on_its_grid(frames, torch.zeros(4, 2), FIELDS), PLAIN)
    # 9 has 1e-7 of the power of v
    assert moved()[:, 0].nonzero().flatten().tolist() == [1, 2, 3]
    assert moved()[:, 1].nonzero().flatten().tolist() == [1, 2, 3, 4, 5]


def test_a_mean_that_never_moves_in_the_data_is_kept():
    fields = on_line(("u", "v"), ("", ""), 1.0, 0.1, params=("nu", "speed"), cells=32)
    codec, operator = build("spectral_flux", fields=fields)
    frames = torch.randn(4, 3, 2, NUM_CELLS, generator=stream(0, "frames"))
    frames = frames - frames.mean(3, keepdim=True) * torch.tensor([1.0, 0.0])[:, None]
    operator.start_from(codec, on_its_grid(frames, torch.zeros(4, 2), fields), PLAIN)
    z, dt, params = inputs(codec)
    moved = (disturb(operator)(z, dt, params) - z).mean(1).abs()
    assert moved[:, 0].max() < 1e-6
    assert moved[:, 1].min() > 1e-3


def test_the_mean_of_a_field_without_waves_may_change():
    fields = on_line(("u",), ("",), 1.0, 0.1, params=("nu", "speed"), cells=32)
    codec, operator = build("spectral_flux", fields=fields)
    rising = torch.arange(3.0)[:, None, None].expand(2, 3, 1, NUM_CELLS)
    operator.start_from(codec, on_its_grid(rising, torch.zeros(2, 2), fields), PLAIN)
    z, dt, params = inputs(codec)
    change = torch.fft.rfft(disturb(operator)(z, dt, params) - z, dim=1).abs()
    assert change[:, 0].min() > 1e-2
    assert change[:, 1:].max() < 1e-5


def test_the_default_flux_network_has_as_many_weights_as_the_measured_one():
    fields = on_line(("u",), ("",), 1.0, 0.05, params=("nu",), conserved=("u",), cells=256)
    codec = IdentityPatches().build(fields, stream(0, "codec"))
    operator = SpectralFlux().build(codec, fields, stream(0, "init"))
    counts = {"spectral": 0, "condition": 0, "rest": 0}
    for name, parameter in operator.named_parameters():
        if any(part in name for part in ("condition", "scale", "shift")):
            counts["condition"] += parameter.numel()
        else:
            counts["spectral" if "spectral" in name else "rest"] += parameter.numel()
    assert counts["spectral"] // 2 + counts["rest"] == 179_009  # a complex number counted once
    assert counts["condition"] == 6_768


def test_what_does_not_fit_together_is_said_in_one_line():
    generator = stream(0, "init")
    perceiver = Perceiver(num_tokens=6, hidden_dim=16).build(FIELDS, generator)
    with pytest.raises(
        UserError, match=r"spectral_flux works on the cells.*'perceiver'.*codec.kind=identity"
    ):
        SpectralFlux(modes=8).build(perceiver, FIELDS, generator)
    patches, cells = (settings.build(FIELDS, generator) for settings in (PATCHES, CELLS))
    with pytest.raises(UserError, match="patch_size=1"):
        SpectralFlux(modes=8).build(patches, FIELDS, generator)
    with pytest.raises(UserError, match="at least 64 cells, there are 32"):
        SpectralFlux(modes=32).build(cells, FIELDS, generator)
    with pytest.raises(UserError, match="halves the tokens 2 times, but the autoencoder makes 6"):
        UTransformer(depths=(1, 1, 1)).build(perceiver, FIELDS, generator)
    with pytest.raises(UserError, match="group_size=3 does not tile 8 tokens"):
        Transformer(group_size=3).build(patches, FIELDS, generator)
    with pytest.raises(UserError, match=r"on a grid.*codec.kind=perceiver do not.*codec.kind=conv"):
        SpectralRate(modes=2, kernel_size=3).build(perceiver, FIELDS, generator)
    with pytest.raises(UserError, match="at least 16 cells, there are 8"):
        SpectralRate(modes=8).build(patches, FIELDS, generator)
    opened = on_line(("u",), ("",), 1.0, 0.1, boundary=OPEN, cells=32)
    for settings in (SpectralFlux(modes=8), SpectralRate(modes=8)):
        with pytest.raises(UserError, match=rf"{settings.kind}.*lie between walls.*x open"):
            settings.build(CELLS.build(opened, generator), opened, generator)
    each = (Field("u", vector="velocity", axis="x"), Field("v", vector="velocity", axis="y"))
    flow = replace(on_line(boundary=WALL), each=each)
    with pytest.raises(UserError, match=r"u, v are components of a vector"):
        SpectralFlux(modes=8).build(CELLS.build(flow, generator), flow, generator)
    plane = replace(FIELDS, grid=PLANES[0])
    for settings in (Transformer(), UTransformer()):
        with pytest.raises(UserError, match=rf"{settings.kind}: works on a line"):
            settings.build(CELLS.build(plane, generator), plane, generator)


def test_settings_that_cannot_work_are_errors():
    with pytest.raises(UserError, match="hidden_dim 96 is not a multiple of num_heads 5"):
        validate(UTransformer, {"num_heads": 5})
    with pytest.raises(UserError, match="hidden_dim 96 is not a multiple of num_heads 7"):
        validate(Transformer, {"num_heads": 7})
    with pytest.raises(UserError, match="'kernel_size': must be odd"):
        validate(SpectralFlux, {"kernel_size": 4})
    with pytest.raises(UserError, match="depths"):
        validate(UTransformer, {"depths": []})


PLANES = [
    Grid((Axis("x", 12, 3.0), Axis("y", 10, 2.0))),
    Grid((Axis("x", 12, 3.0), Axis("y", 10, 2.0, low=WALL, high=WALL))),
    Grid((Axis("x", 12, 3.0, low=WALL, high=WALL), Axis("y", 10, 2.0, low=WALL, high=WALL))),
    Grid((Axis("x", 12, 1.0, low=WALL, high=WALL),)),
    Grid((Axis("x", 7, 1.0, low=WALL, high=WALL), Axis("y", 6, 1.0), Axis("z", 8, 1.0))),
]


def on_plane(grid, settings=None, conserved=("u", "v"), patch=1):
    fields = replace(FIELDS, grid=grid)
    fields = replace(fields, each=tuple(replace(f, conserved=f.name in conserved) for f in fields.each))
    codec = IdentityPatches(patch_size=patch).build(fields, stream(0, "codec"))
    settings = settings or SpectralFlux(width=8, num_blocks=2, modes=3, kernel_size=3)
    operator = settings.build(codec, fields, stream(0, "init"))
    frames = torch.randn(3, 2, *grid.shape, generator=stream(1, "frames"), dtype=torch.float64)
    dt, params = (
        torch.tensor([1.0, 0.5, 2.0]).double(),
        torch.randn(3, 2, generator=stream(2, "params")).double(),
    )
    return codec, operator, frames, dt, params


@pytest.mark.parametrize("grid", PLANES, ids=str)
def test_on_any_grid_it_starts_as_the_identity_and_conserves_what_it_must(grid):
    codec, operator, frames, dt, params = on_plane(grid, conserved=("v",))
    z = codec.encode(frames)
    assert torch.equal(codec.decode(z), frames)
    assert torch.allclose(operator.double()(z, dt, params), z, rtol=0, atol=1e-12)
    change = (disturb(operator).double()(z, dt, params) - z).sum(1)
    assert change[:, 0].abs().min() > 1e-3
    assert change[:, 1].abs().max() < 1e-11


@pytest.mark.parametrize("place", [0, 1])
def test_on_a_plane_it_commutes_with_shifts_along_periodic_axes_alone(place):
    codec, operator, frames, dt, params = on_plane(PLANES[1])
    disturb(operator).double()
    moved = operator(codec.encode(frames.roll(3, 2 + place)), dt, params)
    still = codec.encode(codec.decode(operator(codec.encode(frames), dt, params)).roll(3, 2 + place))
    assert torch.allclose(moved, still, rtol=0, atol=1e-9) == (place == 0)


def test_the_divergence_is_that_of_fluxes_and_nothing_passes_a_wall():
    flux = torch.randn(2, 4, 5, 3, generator=stream(3, "flux"), dtype=torch.float64)
    rate = divergence(flux, [False, True])
    assert rate.shape == (2, 2, 5, 3)
    # field 1, an inner cell and one at each wall, by hand: fluxes 2 (along x) and 3 (along y) are its own
    x, y = flux[:, 2], flux[:, 3]
    torch.testing.assert_close(rate[:, 1, 2, 1], x[:, 1, 1] - x[:, 2, 1] + y[:, 2, 0] - y[:, 2, 1])
    torch.testing.assert_close(rate[:, 1, 0, 0], x[:, 4, 0] - x[:, 0, 0] - y[:, 0, 0])
    torch.testing.assert_close(rate[:, 1, 4, 2], x[:, 3, 2] - x[:, 4, 2] + y[:, 4, 1])
    assert rate.sum((2, 3)).abs().max() < 1e-13


def test_fluxes_between_walls_are_those_of_the_mirrored_double():
    flux = torch.randn(2, 1, 6, generator=stream(5, "flux"), dtype=torch.float64)
    flux[..., -1] = 0
    double = torch.cat([flux, -flux[..., :-1].flip(-1), torch.zeros(2, 1, 1)], -1)
    rate = divergence(double, [False])
    torch.testing.assert_close(rate, rate.flip(-1))
    torch.testing.assert_close(divergence(flux, [True]), rate[..., :6])


def test_waves_that_the_data_do_not_have_along_an_axis_stay_as_they_are():
    grid = PLANES[1]
    codec, operator, _, dt, params = on_plane(grid, conserved=())
    x, y = (axis.centres() / axis.extent for axis in grid.axes)
    has = torch.cos(4 * math.pi * x)[:, None] * torch.cos(math.pi * y) + 0.5
    data = on_its_grid(
        has.expand(4, 3, 2, *grid.shape).float(), torch.zeros(4, 2), replace(FIELDS, grid=grid)
    )
    operator.start_from(codec, data, PLAIN)
    disturb(operator).double()
    z = codec.encode(torch.randn(3, 2, *grid.shape, generator=stream(4, "z"), dtype=torch.float64))
    rate = Modes(grid).forth(codec.decode(operator(z, dt, params) - z)).abs().amax((0, 1))
    moved = (rate > 1e-9).nonzero()
    assert sorted(set(moved[:, 0].tolist())) == [0, 1, 2, 10, 11]  # two waves around x, and minus them
    assert sorted(set(moved[:, 1].tolist())) == [0, 1]  # half a wave between the walls


def test_a_rate_on_patches_of_a_plane_sees_their_grid():
    settings = SpectralRate(width=8, num_blocks=1, modes=2, kernel_size=3)
    codec, operator, frames, dt, params = on_plane(PLANES[1], settings, patch=2)
    assert codec.grid.shape == (6, 5)
    assert codec.dim == 8
    z = codec.encode(frames)
    assert torch.equal(z[:, 7], frames[:, :, 2:4, 4:6].flatten(1))  # patch (1, 2) of 6 x 5
    moved = operator.double()(codec.encode(frames.roll(2, 2)), dt, params)
    still = codec.encode(codec.decode(operator(z, dt, params)).roll(2, 2))
    torch.testing.assert_close(moved, still)
