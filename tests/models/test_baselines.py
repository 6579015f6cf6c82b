import pytest
import torch
from torch.nn import functional as F

from lines import on_its_grid, on_line
from ups import checkpoint
from ups.checkpoint import save
from ups.models.ablation import dead_branches
from ups.models.baselines import DilatedResNet, PDEBenchFNO, Persistence, TunedFNO, UNet
from ups.models.normalizer import fit_normalizer
from ups.streams import stream
from ups.types import WALL, Axis, Field, Fields, Grid, Stepper, Trajectory, UserError

FIELDS = on_line(("u",), ("m/s",), 1.0, 0.05, params=("nu",), conserved=("u",), cells=32)
CHANGE = {
    "tuned_fno": TunedFNO(width=8, modes=8),
    "dilated_resnet": DilatedResNet(width=8, num_blocks=2),
    "unet": UNet(width=4, multipliers=(1, 2), num_context=2),
}
ALL = {"pdebench_fno": PDEBenchFNO(), **CHANGE}


def trajectory(num_cells=32):
    values = 3 + 2 * torch.randn(4, 12, 1, num_cells, generator=stream(0, "values"))
    return on_its_grid(values, torch.tensor([[0.001], [0.01], [0.1], [1.0]]), FIELDS)


def build(kind, seed=0, disturbed=False):
    baseline = ALL[kind].build(FIELDS, fit_normalizer(trajectory()), stream(seed, "init"))
    if disturbed:
        generator = stream(0, "disturb")
        with torch.no_grad():
            for parameter in baseline.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return baseline


def roll(baseline, train, num_steps=2):
    state = baseline.encode(train.values, train.params)
    for _ in range(num_steps):
        state = baseline.advance(state)
    return baseline.decode(state)


def test_persistence_repeats_the_last_frame():
    assert isinstance(Persistence(), Stepper)
    assert torch.equal(roll(Persistence(), trajectory()), trajectory().values[:, -1])


@pytest.mark.parametrize("kind", ALL)
def test_a_baseline_is_a_stepper_that_starts_from_the_last_context_frame(kind):
    baseline = build(kind)
    assert isinstance(baseline, Stepper)
    torch.testing.assert_close(roll(baseline, trajectory(), 0), trajectory().values[:, -1])


@pytest.mark.parametrize("kind", CHANGE)
def test_a_baseline_that_predicts_the_change_starts_as_persistence(kind):
    torch.testing.assert_close(roll(build(kind), trajectory()), trajectory().values[:, -1])


@pytest.mark.parametrize("kind", ALL)
def test_a_baseline_sees_its_context_and_nothing_before_it(kind):
    baseline, train = build(kind, disturbed=True), trajectory()
    reference = roll(baseline, train)
    for frame, matters in ((-baseline.num_context - 1, False), (-baseline.num_context, True)):
        values = train.values.clone()
        values[:, frame] += 1
        assert torch.equal(roll(baseline, on_its_grid(values, train.params, FIELDS)), reference) != matters


@pytest.mark.parametrize("kind", ALL)
def test_a_rollout_feeds_predictions_back(kind):
    baseline, train = build(kind, disturbed=True), trajectory()
    one = roll(baseline, train, 1)
    fed = on_its_grid(torch.cat([train.values, one[:, None]], dim=1), train.params, FIELDS)
    torch.testing.assert_close(roll(baseline, fed, 1), roll(baseline, train, 2))


@pytest.mark.parametrize("kind", ALL)
def test_every_layer_is_used_and_learns(kind):
    baseline, train = build(kind), trajectory()
    assert dead_branches(baseline, lambda: roll(baseline, train)) == []
    baseline = build(kind, disturbed=True)
    roll(baseline, train).square().mean().backward()
    silent = [name for name, p in baseline.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("kind", CHANGE)
def test_parameters_of_the_equation_matter(kind):
    baseline, train = build(kind, disturbed=True), trajectory()
    other = on_its_grid(train.values, train.params.flip(0), FIELDS)
    assert not torch.allclose(roll(baseline, train), roll(baseline, other))


@pytest.mark.parametrize("kind", ["tuned_fno", "dilated_resnet", "unet"])
def test_shifting_the_line_shifts_the_forecast(kind):
    baseline, train = build(kind, disturbed=True), trajectory()
    shifted = on_its_grid(train.values.roll(6, -1), train.params, FIELDS)
    torch.testing.assert_close(
        roll(baseline, shifted), roll(baseline, train).roll(6, -1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", ALL)
def test_a_batch_of_two_is_two_batches_of_one(kind):
    baseline, train = build(kind, disturbed=True), trajectory().select(slice(0, 2))
    apart = torch.cat([roll(baseline, train.select(slice(i, i + 1))) for i in range(2)])
    torch.testing.assert_close(roll(baseline, train), apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_equal_generators_build_equal_baselines_and_the_global_one_does_not_move(kind):
    before = torch.get_rng_state()
    a, b, c = (build(kind, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize("kind", ALL)
def test_what_is_loaded_gives_the_same_bits(kind, tmp_path):
    baseline = build(kind, disturbed=True)
    save(baseline, tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert torch.equal(roll(loaded, trajectory()), roll(baseline, trajectory()))
    assert loaded.manifest() == baseline.manifest()


def test_pdebenchs_fno_has_its_published_size():
    baseline = PDEBenchFNO().build(trajectory(256).fields, fit_normalizer(trajectory(256)), stream(0, "init"))
    spectral = sum(p.numel() for name, p in baseline.named_parameters() if "spectral" in name)
    total = sum(p.numel() for p in baseline.parameters())
    assert total - spectral // 2 == 23_937  # complex numbers counted once


def test_pdebenchs_fno_is_the_formula_of_its_paper():
    baseline, values = build("pdebench_fno"), trajectory().values[:, -10:]
    net = baseline.network
    grid = ((torch.arange(32) + 0.5) / 32).expand(4, 1, -1)
    x = F.pad(net.lift(torch.cat([values[:, :, 0], grid], dim=1)), [0, 2])
    for layer in range(4):
        weight = torch.complex(*net.spectral[layer].weight)
        spectrum = torch.zeros(4, 20, 18, dtype=torch.cfloat)
        spectrum[:, :, :12] = torch.einsum("bix,xio->box", torch.fft.rfft(x)[:, :, :12], weight)
        x = torch.fft.irfft(spectrum, n=34) + net.pointwise[layer](x)
        x = F.gelu(x) if layer < 3 else x
    expected = net.head(x[..., :-2])
    torch.testing.assert_close(roll(baseline, trajectory(), 1), expected, rtol=1e-4, atol=1e-5)
    assert 0 <= net.spectral[0].weight.min() < net.spectral[0].weight.max() < 1 / 400


def test_settings_that_do_not_fit_the_data_are_named():
    normalizer = fit_normalizer(trajectory())
    with pytest.raises(UserError, match="modes=32 needs 64 cells"):
        TunedFNO().build(FIELDS, normalizer, stream(0, "init"))
    with pytest.raises(UserError, match="8 does not divide the 36 cells"):
        UNet().build(trajectory(36).fields, normalizer, stream(0, "init"))


@pytest.mark.parametrize("kind", CHANGE)
def test_on_a_plane_between_walls_it_starts_as_persistence_and_then_moves(kind):
    grid = Grid((Axis("x", 16, 1.0), Axis("y", 24, 1.5, 0.0, WALL, WALL)))
    fields = Fields((Field("u"), Field("v")), grid, 0.1)
    data = Trajectory(torch.randn(3, 12, 2, 16, 24, generator=stream(1, "plane")), torch.zeros(3, 0), fields)
    baseline = CHANGE[kind].build(fields, fit_normalizer(data), stream(0, "init"))
    still, num = roll(baseline, data), len(data)
    assert still.shape == (num, 2, 16, 24)
    torch.testing.assert_close(still, data.values[:, -1], rtol=0, atol=1e-5)
    with torch.no_grad():
        for parameter in baseline.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=stream(2, "disturb")))
    assert (roll(baseline, data) - still).abs().amax((1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize(
    ("kind", "line"), [("unet", "2 does not divide"), ("dilated_resnet", "needs 8 cells")]
)
def test_planes_that_do_not_fit_are_refused(kind, line):
    grid = Grid((Axis("x", 16, 1.0), Axis("y", 7, 1.5, 0.0, WALL, WALL)))
    fields = Fields((Field("u"),), grid, 0.1)
    data = Trajectory(torch.randn(3, 5, 1, 16, 7), torch.zeros(3, 0), fields)
    with pytest.raises(UserError, match=line):
        CHANGE[kind].build(fields, fit_normalizer(data), stream(0, "init"))
