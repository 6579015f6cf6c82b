import math

import numpy as np
import pytest
import torch
from known_steppers import FIELDS

from lines import on_line
from ups.evaluation import metrics
from ups.evaluation.metrics import METRICS, MORE_IS_BETTER
from ups.streams import stream
from ups.types import Axis, Field, Fields, Grid

TWO = on_line(names=("u", "v"), units=("", ""), extent=3.0, dt=0.25, conserved=("v",))


def draw(*shape, name="truth"):
    return torch.randn(*shape, generator=stream(0, name))


@pytest.fixture
def truth():
    return draw(3, 5, 2, 32)


@pytest.fixture
def prediction(truth):
    return (truth + 0.3 * draw(3, 5, 2, 32, name="error"))[None]


def frame(*cells):
    return torch.tensor(cells, dtype=torch.float32).reshape(1, 1, 1, -1)


def one(name, prediction, truth, fields=FIELDS):
    return METRICS[name](prediction[None], truth, fields).item()


def test_hand_computed_numbers():
    truth, prediction = frame(3.0, 1.0, -1.0, 1.0), frame(4.0, 1.0, -1.0, -1.0)  # e = 1, 0, 0, -2
    expected = {
        "rmse": math.sqrt(5 / 4),
        "nrmse": math.sqrt(5 / 12),
        "vrmse": math.sqrt(5 / 8),
        "max_error": 2.0,
        "crmse": 0.25,
        "brmse": math.sqrt(5 / 2),
        "conservation_gap": 0.5,  # a quarter times the length 2
        "energy_gap": (19 - 12) / 12,
        "relative_l2": math.sqrt(5 / 12),
        "correlation": 10 / math.sqrt(8 * (19 - 9 / 4)),
    }
    for name, value in expected.items():
        assert one(name, prediction, truth) == pytest.approx(value, rel=1e-12), name


def numpy_metrics(p, u, length):
    """All metrics but the spectral error, for one frame and one field, written independently."""
    e = p - u
    transform = np.fft.rfft(e)
    weight = np.full(len(transform), 2.0)
    weight[0] = weight[-1] = 1.0
    power = weight * np.abs(transform) ** 2 / len(u) ** 2
    return {
        "rmse": np.sqrt(np.mean(e**2)),
        "nrmse": np.linalg.norm(e) / np.linalg.norm(u),
        "vrmse": np.sqrt(np.mean(e**2)) / np.std(u),
        "max_error": np.max(np.abs(e)),
        "crmse": abs(np.mean(p) - np.mean(u)),
        "brmse": np.sqrt((e[0] ** 2 + e[-1] ** 2) / 2),
        "frmse_low": np.sqrt(power[:4].sum()),
        "frmse_mid": np.sqrt(power[4:12].sum()),
        "frmse_high": np.sqrt(power[12:].sum()),
        "energy_gap": abs(np.sum(p**2) / np.sum(u**2) - 1),
        "conservation_gap": abs(np.sum(p) - np.sum(u)) * length / len(u),
        "correlation": np.corrcoef(p, u)[0, 1],
    }


def test_every_per_frame_metric_agrees_with_numpy(prediction, truth):
    found = {name: METRICS[name](prediction, truth, TWO).numpy() for name in METRICS}
    for place in np.ndindex(3, 5, 2):
        reference = numpy_metrics(prediction[0].double().numpy()[place], truth.double().numpy()[place], 3.0)
        for name, value in reference.items():
            if name != "conservation_gap" or place[-1] == 1:
                assert found[name][place] == pytest.approx(value, rel=1e-10), name


def test_the_spectral_error_agrees_with_numpy(prediction, truth):
    def energy(values):
        power = np.abs(np.fft.rfft(values)) ** 2 * 2
        return np.array([power[1], power[2:4].sum(), power[4:8].sum(), power[8:16].sum()])

    found = metrics.spectral_error(prediction, truth, TWO)
    for place in np.ndindex(3, 5, 2):
        ratio = np.log10(
            energy(prediction[0].double().numpy()[place]) / energy(truth.double().numpy()[place])
        )
        assert found[place].item() == pytest.approx(np.sqrt(np.mean(ratio**2)), rel=1e-6)


def test_relative_l2_takes_one_norm_over_the_whole_trajectory(prediction, truth):
    error = (prediction[0] - truth).double().numpy()
    expected = np.sqrt((error**2).sum((1, 3)) / (truth.double().numpy() ** 2).sum((1, 3)))
    np.testing.assert_allclose(metrics.relative_l2(prediction, truth, TWO).numpy(), expected, rtol=1e-6)


def test_a_perfect_prediction_scores_0_or_the_best(truth):
    for name, metric in METRICS.items():
        value = metric(truth[None], truth, TWO)
        value = value[..., 1:] if name == "conservation_gap" else value
        best = {"correlation": 1.0, "correlation_time": 5 * 0.25}.get(name, 0.0)
        torch.testing.assert_close(value, torch.full_like(value, best), msg=name, rtol=1e-12, atol=0)


def test_a_perfect_prediction_of_nothing_is_perfect():
    zero = torch.zeros(1, 2, 1, 16)
    for name, metric in METRICS.items():
        if name not in MORE_IS_BETTER:
            assert (metric(zero[None], zero, FIELDS) == 0).all(), name


def test_predicting_zero_has_nrmse_1_and_predicting_the_mean_has_vrmse_1(truth):
    ones = torch.ones(3, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(metrics.nrmse(torch.zeros_like(truth)[None], truth, TWO), ones)
    mean = truth.double().mean(-1, keepdim=True).expand(truth.shape)[None]
    torch.testing.assert_close(metrics.vrmse(mean, truth.double(), TWO), ones, rtol=1e-12, atol=0)
    assert metrics.energy_gap(torch.zeros_like(truth)[None], truth, TWO).unique().tolist() == [1.0]


DIMENSIONLESS = [
    "nrmse",
    "vrmse",
    "spectral_error",
    "energy_gap",
    "correlation",
    "relative_l2",
    "correlation_time",
]


@pytest.mark.parametrize("name", METRICS)
def test_units_scale_what_has_units_and_leave_the_rest(name, prediction, truth):
    metric = METRICS[name]
    factor = 1.0 if name in DIMENSIONLESS else 4.0
    scaled = metric(4.0 * prediction, 4.0 * truth, TWO)
    torch.testing.assert_close(
        scaled, factor * metric(prediction, truth, TWO), rtol=1e-12, atol=1e-12, equal_nan=True
    )


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"brmse"}))
def test_a_shift_of_the_periodic_domain_changes_nothing_but_the_edges(name, prediction, truth):
    shifted = METRICS[name](prediction.roll(7, -1), truth.roll(7, -1), TWO)
    torch.testing.assert_close(
        shifted, METRICS[name](prediction, truth, TWO), rtol=1e-9, atol=1e-12, equal_nan=True
    )


def test_a_galilean_boost_leaves_vrmse_and_correlation_and_lowers_nrmse(prediction, truth):
    boosted, moved = prediction + 64.0, truth + 64.0
    for name in ("vrmse", "correlation", "rmse"):
        torch.testing.assert_close(
            METRICS[name](boosted, moved, TWO), METRICS[name](prediction, truth, TWO), rtol=1e-4, atol=0
        )
    assert (metrics.nrmse(boosted, moved, TWO) < 0.1 * metrics.nrmse(prediction, truth, TWO)).all()


def test_the_squares_of_the_three_bands_add_up_to_the_square_of_rmse(prediction, truth):
    bands = sum(METRICS[f"frmse_{band}"](prediction, truth, TWO) ** 2 for band in ("low", "mid", "high"))
    torch.testing.assert_close(bands, metrics.rmse(prediction, truth, TWO) ** 2, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("wavenumber", "band"), [(0, "low"), (3, "low"), (4, "mid"), (11, "mid"), (12, "high"), (16, "high")]
)
def test_a_wave_of_error_falls_into_the_band_of_its_wavenumber(wavenumber, band, truth):
    wave = torch.cos(2 * math.pi * wavenumber * torch.arange(32, dtype=torch.float64) / 32)
    found = {
        name: METRICS[f"frmse_{name}"]((truth.double() + wave)[None], truth.double(), TWO).max().item()
        for name in ("low", "mid", "high")
    }
    assert found.pop(band) == pytest.approx(1.0 if wavenumber in (0, 16) else math.sqrt(0.5))
    assert max(found.values()) < 1e-12


def test_spectral_error_ignores_phases_and_counts_decades(truth):
    assert metrics.spectral_error(truth.flip(-1)[None], truth, TWO).max() < 1e-6
    louder = metrics.spectral_error(math.sqrt(10.0) * truth.double()[None], truth.double(), TWO)
    torch.testing.assert_close(louder, torch.ones_like(louder), rtol=1e-9, atol=0)


def test_spectral_error_stays_finite_where_the_prediction_has_no_energy(truth):
    lost = metrics.spectral_error(torch.zeros_like(truth)[None], truth, TWO)
    assert (lost > 5).all()
    assert (lost < 13).all()


def test_conservation_gap_of_a_shifted_field_is_shift_times_length_and_only_for_conserved_fields(truth):
    gap = metrics.conservation_gap((truth.double() - 0.5)[None], truth.double(), TWO)
    assert gap[..., 0].isnan().all()
    torch.testing.assert_close(gap[..., 1], torch.full((3, 5), 1.5, dtype=torch.float64))


def test_the_ensemble_mean_is_scored_but_energies_and_spectra_are_those_of_members(truth):
    members = torch.stack([truth + 1.0, truth - 1.0])
    assert metrics.rmse(members, truth, TWO).max() < 1e-6
    expected = 1.0 / truth.double().square().mean(-1)
    torch.testing.assert_close(metrics.energy_gap(members, truth, TWO), expected, rtol=1e-5, atol=1e-6)
    other = draw(1, 3, 5, 2, 32, name="other")
    opposite = torch.cat([other, -other])
    torch.testing.assert_close(
        metrics.spectral_error(opposite, truth, TWO), metrics.spectral_error(other, truth, TWO)
    )


def test_correlation_time_ends_at_the_first_fall_and_recoveries_do_not_count():
    x = 2 * math.pi * torch.arange(32, dtype=torch.float64) / 32
    angles = torch.tensor([0.0, 0.3, 0.6, 0.7, 0.1, 0.0], dtype=torch.float64)  # cos .6 = .825, cos .7 = .765
    truth = torch.sin(x).expand(1, 6, 1, 32)
    forecast = torch.sin(x + angles[:, None]).reshape(1, 1, 6, 1, 32)
    torch.testing.assert_close(
        metrics.correlation(forecast, truth, FIELDS)[0, :, 0], angles.cos(), rtol=1e-12, atol=1e-12
    )
    assert metrics.correlation_time(forecast, truth, FIELDS).item() == pytest.approx(3 * FIELDS.dt)
    assert metrics.correlation_time(truth[None], truth, FIELDS).item() == pytest.approx(6 * FIELDS.dt)


def test_correlation_with_a_constant_is_0(truth):
    assert (metrics.correlation(torch.zeros_like(truth)[None], truth, TWO) == 0).all()


def test_sums_are_taken_in_double_precision():
    truth = torch.full((1, 1, 1, 4096), 1000.0)
    prediction = truth + torch.tensor([2.0**-8, 0.0]).repeat(2048)
    assert one("crmse", prediction, truth) == 2.0**-9


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_takes_two_space_dimensions(name):
    truth = draw(2, 3, 1, 6, 8)
    fields = Fields((Field("u", conserved=True),), Grid((Axis("x", 6, 1.0), Axis("y", 8, 2.0))), 0.1)
    value = METRICS[name](truth[None] + 0.5, truth, fields)
    assert value.shape in ((2, 3, 1), (2, 1))
    if name in ("brmse", "rmse", "max_error", "crmse", "frmse_low"):
        torch.testing.assert_close(value, torch.full_like(value, 0.5), rtol=1e-6, atol=0)
