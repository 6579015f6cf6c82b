import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import toy
from scipy import stats
from torch import nn

from lines import on_its_grid
from ups.streams import stream
from ups.training.fit import fit
from ups.training.overfit import finding, measure, trend
from ups.training.stages import Forecast, relative_error
from ups.training.store import Store
from ups.training.update import Updater
from ups.types import Trajectory

HELD_OUT = toy.waves(16, seed=1)


def updater(stage=None, **changes):
    settings = toy.settings(**changes)
    stage = stage or Forecast("operator", toy.Shift(), settings.unroll)
    return Updater(stage, toy.waves(), settings, 0, toy.draw_windows)


def curves(rng, correlation, num, num_curves):
    """Stationary AR(1) noise of unit variance."""
    noise = rng.normal(size=(num, num_curves))
    for i in range(1, num):
        noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
    return noise.T


def log(train, held_out):
    return [
        {"update": 10 * (i + 1), "loss": 1.0, "train": float(a), "held_out": float(b)}
        for i, (a, b) in enumerate(zip(train, held_out, strict=True))
    ]


def found(train, held_out):
    return finding(log(train, held_out), 10 * len(train), 0)


def test_an_exact_line_has_its_slope_and_no_width():
    at = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    assert trend(at, 2 * at + 1) == pytest.approx((2, 2, 2))
    assert trend(at, np.full(5, 3.0)) == (0, 0, 0)


def test_slope_and_interval_are_those_of_scipy_widened_by_the_correlation_of_the_residuals():
    rng = np.random.default_rng(0)
    for num in (5, 8, 30):
        x, y = np.sort(rng.uniform(0, 100, num)), np.cumsum(rng.normal(size=num))
        line = stats.linregress(x, y)
        residual = y - line.intercept - line.slope * x
        r = (residual[1:] @ residual[:-1]) / (residual @ residual) + 1 / num
        widened = math.sqrt((1 + r) / (1 - r)) if r > 0 else 1.0
        half = stats.t.ppf(0.975, num - 2) * line.stderr * widened
        assert trend(x, y) == pytest.approx((line.slope, line.slope - half, line.slope + half), rel=1e-4)


@pytest.mark.parametrize(("correlation", "most"), [(0.0, 0.03), (0.5, 0.085), (0.8, 0.16)])
@pytest.mark.parametrize("num", [5, 10, 20])
def test_flat_noise_is_called_a_rise_as_rarely_as_documented(correlation, most, num):
    noise = curves(np.random.default_rng(1), correlation, num, 1500)
    assert np.mean([trend(np.arange(float(num)), values).low > 0 for values in noise]) < most


def test_without_the_correction_correlated_noise_would_pass_for_a_rise():
    noise = curves(np.random.default_rng(1), 0.8, 20, 500)
    lines = [stats.linregress(range(20), values) for values in noise]
    plain = np.mean([line.slope > stats.t.ppf(0.975, 18) * line.stderr for line in lines])
    ours = np.mean([trend(np.arange(20.0), values).low > 0 for values in noise])
    assert plain > 0.2
    assert ours < 0.6 * plain


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("num_validations", [10, 20, 40])
def test_a_converged_noisy_run_is_flagged_in_7_percent_at_most(correlation, num_validations):
    rng = np.random.default_rng(2)
    held_out, train = (0.3 * np.exp(0.05 * curves(rng, correlation, num_validations, 200)) for _ in range(2))
    flags = [found(a, b) is not None for a, b in zip(train, held_out, strict=True)]
    assert np.mean(flags) <= 0.07


@pytest.mark.parametrize(("num_validations", "sigmas"), [(10, 8), (20, 6), (40, 5)])
def test_a_rise_of_some_standard_deviations_is_caught_in_90_percent(num_validations, sigmas):
    """The rise is that over the second half; the noise has a correlation of 0.3."""
    noise = curves(np.random.default_rng(3), 0.3, num_validations, 300)
    late = np.clip(np.linspace(-1, 1, num_validations), 0, None)
    train = np.exp(-np.linspace(0, 2, num_validations))
    assert np.mean([found(train, np.exp(0.02 * (sigmas * late + line))) is not None for line in noise]) >= 0.9


@pytest.mark.parametrize("shape", [lambda x: x, lambda x: x**2, lambda x: 1 - np.exp(-3 * x)])
def test_ten_validations_show_a_smooth_rise_whatever_its_shape(shape):
    x = np.linspace(0, 1, 10)
    assert found(np.exp(-x), np.exp(0.2 * shape(np.clip(2 * x - 1, 0, 1)))) is not None


def test_the_sentence_holds_the_numbers_of_an_exact_exponential():
    update = np.arange(1, 21)
    held_out = np.exp(0.5 * np.maximum(update - 6, 6 - update) / 20)  # lowest at the sixth validation
    said = finding(log(np.exp(-update / 20), held_out), 200, 50)
    percent = f"{100 * (math.exp(0.5 / 10) - 1):.2g}"
    assert said == (
        f"held-out loss rises by {percent} % [{percent}, {percent}] per tenth of the run while the training loss "
        f"falls: overfitting from update 60, {100 * (math.exp(14 * 0.5 / 20) - 1):.2g} % since then; "
        "the kept weights are those of update 50"
    )


def test_a_gap_that_widens_while_both_fall_is_no_overfitting_nor_is_a_run_that_blows_up():
    x = np.linspace(0, 1, 20)
    assert found(np.exp(-5 * x), np.exp(-x)) is None
    assert found(np.exp(2 * x), np.exp(3 * x)) is None
    assert found(np.exp(-x), np.exp(3 * x)) is not None


def test_four_points_say_nothing_and_rows_without_a_measurement_do_not_count():
    x = np.linspace(0, 1, 20)
    rows = log(np.exp(-x), np.exp(x))
    assert finding(rows[:8], 200, 0) is None
    assert finding(rows[:9], 200, 0) is not None
    assert finding([], 200, 0) is None
    assert finding([{"update": 10, "loss": 1.0}] * 30, 300, 0) is None
    silent = [row | {"held_out": None} for row in rows[:3]]  # what was not finite is null in a log
    between = [{"update": row["update"] + 5, "loss": 0.1} for row in rows]
    assert finding([*silent, *rows[3:], *between], 200, 0) == finding(rows[3:], 200, 0)


def test_the_windows_are_frozen_of_the_last_phase_and_alike_for_both_sets():
    lengths, noise = [], []

    class Watched(Forecast):
        def loss(self, batch, generator):
            lengths.append(batch.values.shape[:2])
            noise.append(torch.rand(1, generator=generator).item())
            return super().loss(batch, generator)

    stage = Watched("operator", toy.Shift(), ((0.0, 1), (0.5, 2)))
    update = updater(stage, symmetries=["reflect_odd"], accumulation=2)
    row = measure(update, HELD_OUT)
    assert lengths == [(4, 3)] * 8  # two batches of eight windows in parts of four, for each set
    assert noise[:4] == noise[4:]
    assert len(set(noise)) == 4
    assert measure(update, HELD_OUT) == row
    same = measure(update, update.train)
    assert same["train"] == same["held_out"] == row["train"] != row["held_out"]
    with torch.no_grad():
        stage.model.bias += 0.1
    assert measure(update, HELD_OUT) != row


def test_the_loss_is_the_fraction_of_the_trivial_one():
    update = updater(unroll=[[0.0, 2]])
    error = trivial = 0.0
    for index in range(2):
        windows = toy.draw_windows(HELD_OUT, 8, 3, stream(0, "operator/held-out/windows", index)).values
        first = update.stage.model.advance(windows[:, 0])
        forecast = torch.stack([first, update.stage.model.advance(first)], 1)
        error += relative_error(forecast, windows[:, 1:]).mean().item()
        trivial += relative_error(windows[:, :1].expand(-1, 2, -1, -1), windows[:, 1:]).mean().item()
    assert measure(update, HELD_OUT)["held_out"] == pytest.approx(error / trivial, rel=1e-6)


@dataclass(frozen=True)
class Leveled(Forecast):
    """A stage that says its error at two levels of added noise."""

    def diagnose(self, batch: Trajectory, generator: torch.Generator) -> dict[str, float]:
        noise = torch.randn(batch.values[:, 0].shape, generator=generator)
        return {
            f"level {level:g}": (self.model.advance(batch.values[:, 0] + level * noise) - batch.values[:, 1])
            .square()
            .mean()
            .item()
            for level in (0.0, 1.0)
        }


def test_what_a_stage_says_of_each_noise_level_is_logged_at_each_validation(tmp_path):
    settings = toy.settings(num_validations=3)
    stage = Leveled("operator", toy.Shift(), settings.unroll)
    with Store(tmp_path) as store:
        fit(stage, toy.waves(), store, settings, 0, held_out=HELD_OUT)
    rows = map(json.loads, (tmp_path / "stages/operator/log.jsonl").read_text().splitlines())
    measured = [row for row in rows if "held_out" in row]
    assert [row["update"] for row in measured] == [20, 40, 60]
    clean, noisy = ([row[f"held_out/level {level}"] for row in measured] for level in (0, 1))
    assert clean[-1] < clean[0]  # it learns
    assert all(b > a + 0.5 for a, b in zip(clean, noisy, strict=True))  # noise of variance 1 stays


class Memory(nn.Module):
    """A network with room for every frame of a small training set."""

    num_context = 1

    def __init__(self, width=128, cells=16):
        super().__init__()
        generator = stream(0, "memory")
        shapes = {"first": (cells, width), "second": (width, cells)}
        for name, shape in shapes.items():
            weight = torch.randn(shape, generator=generator) / math.sqrt(shape[0])
            self.register_parameter(name, nn.Parameter(weight))

    def encode(self, context, params):
        return context[:, -1]

    def advance(self, state, generator=None):
        return torch.tanh(state @ self.first) @ self.second

    def decode(self, state):
        return state


def noise(num, seed):
    values = torch.randn(num, 2, 1, 16, generator=stream(seed, "noise"))
    return on_its_grid(values, torch.ones(num, 1), toy.FIELDS)


def memorize(folder, **changes):
    changes = {"updates": 300, "unroll": [[0.0, 1]], "batch_size": 32, "learning_rate": 1e-3} | changes
    settings = toy.settings(num_validations=20, **changes)
    model = Memory()
    with Store(folder) as store:
        stage = Forecast("corrector", model, settings.unroll)
        return model, fit(stage, noise(32, 0), store, settings, 0, held_out=noise(64, 1))


def test_a_network_that_learns_noise_by_heart_is_flagged(tmp_path, caplog):
    _, fitted = memorize(tmp_path)
    assert fitted.finding.startswith("held-out loss rises by ")
    assert fitted.finding.endswith("the kept weights are those of update 300")
    (record,) = caplog.records
    assert record.message == f"stage 'corrector': {fitted.finding}"
    finished = json.loads((tmp_path / "stages/corrector/finished.json").read_text())
    assert finished["fitted"]["finding"] == fitted.finding


def test_patience_keeps_the_weights_from_before_the_network_learned_noise_by_heart(tmp_path):
    patient, fitted = memorize(tmp_path / "patient", patience=4)
    last, _ = memorize(tmp_path / "last")
    assert fitted.stopped_early
    assert fitted.best_update < fitted.updates < 300
    frames = noise(1000, 2).values
    errors = [(model.advance(frames[:, 0]) - frames[:, 1]).square().mean() for model in (patient, last)]
    assert errors[0] < errors[1]


def test_a_network_that_learns_waves_is_not_flagged(tmp_path, caplog):
    _, fitted = toy.train(tmp_path, watched=True, updates=300, num_validations=20, batch_size=16)
    assert fitted.skill < 0.05
    assert fitted.finding is None
    assert not caplog.records
