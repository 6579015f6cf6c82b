import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from lines import on_its_grid, on_line
from ups import checkpoint
from ups.checkpoint import save
from ups.evaluation.rollout import rollout
from ups.models.ablation import dead_branches
from ups.models.baselines import UNet
from ups.models.normalizer import fit_normalizer
from ups.models.stochastic import StochasticOperator
from ups.streams import stream
from ups.types import OPEN, WALL, Axis, Field, Fields, Grid, Stepper, Trajectory, UserError

FIELDS = on_line(("u", "v"), ("m/s", "1"), 1.0, 0.05, params=("nu",), conserved=("u",), cells=32)
SETTINGS = StochasticOperator(width=8, num_blocks=2, modes=8, kernel_size=3, noise_channels=3, noise_dim=2)


def trajectory(num_cells=32):
    values = 3 + 2 * torch.randn(4, 5, 2, num_cells, generator=stream(0, "values"))
    return on_its_grid(values, torch.tensor([[0.001], [0.01], [0.1], [1.0]]), FIELDS)


def build(seed=0, disturbed=True, fields=FIELDS):
    baseline = SETTINGS.build(fields, fit_normalizer(trajectory()), stream(seed, "init"))
    if disturbed:
        generator = stream(0, "disturb")
        with torch.no_grad():
            for parameter in baseline.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return baseline


def roll(baseline, train, num_steps=2, seed=0):
    state, generator = baseline.encode(train.values, train.params), stream(seed, "members")
    for _ in range(num_steps):
        state = baseline.advance(state, generator)
    return baseline.decode(state)


def test_it_is_a_stepper_that_starts_as_persistence():
    baseline = build(disturbed=False)
    assert isinstance(baseline, Stepper)
    torch.testing.assert_close(roll(baseline, trajectory()), trajectory().values[:, -1])


def test_members_differ_and_equal_generators_give_equal_members():
    baseline, train = build(), trajectory()
    first, again, other = (
        rollout(baseline, train.values, train.params, 2, 3, stream(seed, "members")) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    spread = first.std(0)
    assert (spread > 0).all()


def test_noise_is_fresh_at_every_step_and_in_every_row():
    baseline, train = build(), trajectory()
    same = on_its_grid(train.values[:1].expand(2, -1, -1, -1), train.params[:1].expand(2, -1), FIELDS)
    state, generator = baseline.encode(same.values, same.params), stream(0, "members")
    one, two = (baseline.advance(state, generator)[0] for _ in range(2))
    assert not torch.allclose(one, two)
    assert not torch.allclose(one[0], one[1])
    with pytest.raises(ValueError, match="give a generator"):
        baseline.advance(state)


@pytest.mark.parametrize("silenced", ["local", "whole"])
def test_both_kinds_of_noise_reach_the_forecast(silenced):
    baseline, train = build(), trajectory().select(slice(0, 1))
    with torch.no_grad():
        if silenced == "local":
            baseline.network.lift.weight[:, 2:].zero_()
        else:
            baseline.condition.linear.weight.zero_()
    members = rollout(baseline, train.values, train.params, 1, 8, stream(0, "members"))
    assert members.std(0).min() > 0


@pytest.mark.parametrize("num_cells", [32, 33])
def test_the_noise_along_the_line_has_variance_one_and_the_width_that_is_asked_for(num_cells):
    settings = SETTINGS.model_copy(update={"noise_channels": 3, "noise_widths": (0.0, 1.5)})
    data = trajectory(num_cells)
    baseline = settings.build(data.fields, fit_normalizer(data), stream(0, "init"))
    seen, num = [], 20_000
    baseline.network.register_forward_pre_hook(lambda module, given: seen.append(given[0][:, 2:]))
    still = torch.full((num, 1, 2, num_cells), 3.0)
    with torch.no_grad():
        baseline.advance(baseline.encode(still, torch.full((num, 1), 0.1)), stream(0, "members"))
    # noise smoothed by a Gaussian of standard deviation w is correlated as exp(-distance^2 / (4 w^2))
    place = torch.arange(num_cells)
    distance = torch.minimum((place[:, None] - place) % num_cells, (place - place[:, None]) % num_cells)
    smooth, white = torch.exp(-distance.square() / (4 * 1.5**2)), torch.eye(num_cells)
    for channel, expected in enumerate((white, smooth, white)):
        noise = seen[0][:, channel]
        assert (noise.T @ noise / num - expected).abs().max() < 4.5 * (2 / num) ** 0.5


ENDS = {"low": WALL, "high": WALL}
PLANE = Grid((Axis("x", 8, 1.0), Axis("y", 10, 1.0)))
CHANNEL = Grid((Axis("x", 8, 1.0), Axis("y", 10, 1.0, **ENDS)))


def on_grid(grid, num=4):
    fields = Fields((Field("u", conserved=True), Field("v")), grid, 0.1, ("nu",))
    values = 3 + 2 * torch.randn(num, 2, 2, *grid.shape, generator=stream(0, "values"))
    return Trajectory(values, torch.full((num, 1), 0.1), fields)


@pytest.mark.parametrize("grid", [PLANE, CHANNEL], ids=["plane", "channel"])
def test_on_a_plane_noise_is_as_wide_along_both_axes_and_a_conserved_field_keeps_its_mean(grid):
    settings = SETTINGS.model_copy(update={"modes": 3, "noise_channels": 2, "noise_widths": (0.0, 1.2)})
    data, seen, num = on_grid(grid), [], 20_000
    baseline = settings.build(data.fields, fit_normalizer(data), stream(0, "init"))
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in baseline.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    hook = baseline.network.register_forward_pre_hook(lambda module, given: seen.append(given[0][:, 2:]))
    with torch.no_grad():
        still = torch.full((num, 1, 2, *grid.shape), 3.0)
        baseline.advance(baseline.encode(still, torch.full((num, 1), 0.1)), stream(0, "members"))
        hook.remove()
        made = roll(baseline, data)
    white, smooth = seen[0].unbind(1)
    corner = white[:, 3, 4]
    assert abs(corner.var() - 1) < 0.05
    assert (corner[:, None] * white.flatten(1)).mean(0).sort().values[-2] < 0.05
    inner = smooth[:, 3, 4:6]  # far from the walls
    assert (inner.square().mean(0) - 1).abs().max() < 0.06
    expected = math.exp(-1 / (4 * 1.2**2))
    for other in (smooth[:, 4, 4], smooth[:, 3, 5]):
        assert (inner[:, 0] * other).mean().item() == pytest.approx(expected, abs=0.06)
    gained = made.mean((2, 3)) - data.values[:, -1].mean((2, 3))
    assert gained[:, 0].abs().max() < 1e-5
    assert gained[:, 1].abs().min() > 1e-4


def test_noise_for_every_cell_has_no_preferred_place():
    baseline, num = build(), 4000
    still = torch.full((num, 1, 2, 32), 3.0)
    with torch.no_grad():
        state = baseline.advance(baseline.encode(still, torch.full((num, 1), 0.1)), stream(0, "members"))
    variance = baseline.decode(state).var(0)
    # on a field that is the same everywhere the law is the same everywhere: standard error sqrt(2 / 4000) = 2 %
    assert ((variance / variance.mean(1, keepdim=True)) - 1).abs().max() < 0.1


def test_what_one_row_holds_does_not_change_another():
    baseline, train = build(), trajectory()
    values = train.values.clone()
    values[1:] += 1
    other = roll(baseline, on_its_grid(values, train.params, FIELDS))
    torch.testing.assert_close(other[0], roll(baseline, train)[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(other[1:], roll(baseline, train)[1:])


def test_a_conserved_field_keeps_its_mean_whatever_the_noise_and_another_does_not():
    train = trajectory()
    change = (roll(build(), train, 3) - train.values[:, -1]).mean(-1)
    assert change[:, 0].abs().max() < 1e-5 < 1e-3 < change[:, 1].abs().min()


def test_parameters_of_the_equation_matter_and_are_not_needed():
    baseline, train = build(), trajectory()
    assert not torch.allclose(
        roll(baseline, train), roll(baseline, on_its_grid(train.values, train.params.flip(0), FIELDS))
    )
    fields = replace(FIELDS, params=())
    none = on_its_grid(train.values, torch.empty(4, 0), fields)
    alone = SETTINGS.build(fields, fit_normalizer(none), stream(0, "init"))
    torch.testing.assert_close(roll(alone, none), train.values[:, -1])


def test_every_layer_is_used_and_learns():
    baseline, train = build(disturbed=False), trajectory()
    assert dead_branches(baseline, lambda: roll(baseline, train)) == []
    baseline = build()
    roll(baseline, train).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in baseline.parameters())


def test_equal_generators_build_equal_baselines():
    a, b, c = (build(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_what_is_loaded_gives_the_same_bits(tmp_path):
    baseline = build()
    save(baseline, tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert torch.equal(roll(loaded, trajectory()), roll(baseline, trajectory()))
    assert loaded.manifest() == baseline.manifest()
    assert loaded.fields == FIELDS


def test_each_kind_comes_back_as_itself(tmp_path):
    other = UNet(width=4, multipliers=(1, 2))
    baselines = build(), other.build(FIELDS, fit_normalizer(trajectory()), stream(0, "init"))
    for place, baseline in enumerate(baselines):
        save(baseline, tmp_path / str(place))
        assert type(checkpoint.load(tmp_path / str(place))) is type(baseline)


def test_settings_that_do_not_fit_the_data_are_named():
    normalizer = fit_normalizer(trajectory())
    with pytest.raises(UserError, match="the data live on x open"):
        SETTINGS.build(
            on_line(("u", "v"), boundary=OPEN, params=("nu",), cells=32), normalizer, stream(0, "init")
        )
    with pytest.raises(UserError, match="modes=32, kernel_size=7 need at least 64 cells, there are 32"):
        StochasticOperator().build(FIELDS, normalizer, stream(0, "init"))
    with pytest.raises(ValidationError, match="must be odd"):
        StochasticOperator(kernel_size=4)
    with pytest.raises(ValidationError, match="num_members"):
        StochasticOperator(num_members=1)
