import numpy as np
import pytest
import torch

from lines import on_line
from ups.evaluation import conventions, metrics
from ups.streams import stream

TRUTH = torch.randn(40, 3, 2, 64, generator=stream(0, "truth")) + 1.0
PREDICTION = TRUTH + 0.1 * torch.randn(40, 3, 2, 64, generator=stream(0, "error"))
FIELDS = on_line(names=("u", "v"), units=("", ""), extent=1.0, dt=0.1)


def test_pdebench_formulas_agree_with_numpy():
    p, u = PREDICTION.double().numpy(), TRUTH.double().numpy()
    e = p - u
    amplitude = np.sqrt((np.abs(np.fft.rfft(p) - np.fft.rfft(u)) ** 2).mean(0)) / 64
    expected = {
        "rmse": np.sqrt((e**2).mean(-1)).mean(),
        "nrmse": np.sqrt((e**2).mean(-1) / (u**2).mean(-1)).mean(),
        "crmse": (np.sqrt(((p.sum(-1) - u.sum(-1)) ** 2).mean(0)) / 64).mean(),
        "max_error": np.abs(e).max(-1).max(0).mean(),
        "brmse": np.sqrt((e[..., 0] ** 2 + e[..., -1] ** 2) / 2).mean(),
        "frmse_low": amplitude[..., :4].mean(),
        "frmse_mid": amplitude[..., 4:12].mean(),
        "frmse_high": amplitude[..., 12:].mean(),
    }
    assert conventions.pdebench_fixed(PREDICTION, TRUTH) == pytest.approx(expected, rel=1e-12)


def test_pdebench_code_divides_by_the_index_of_the_last_batch():
    fixed, printed = (
        conventions.pdebench_fixed(PREDICTION, TRUTH),
        conventions.pdebench_code(PREDICTION, TRUTH, 2),
    )
    for name in ("rmse", "nrmse", "brmse"):  # additive over batches
        assert printed[name] == pytest.approx(fixed[name] * 20 / 19, rel=1e-12)
    assert printed["crmse"] < fixed["crmse"] * 20 / 19  # an RMS over few is smaller than over many
    assert printed["max_error"] < fixed["max_error"]


def test_pdebench_code_cannot_print_one_batch():
    with pytest.raises(ValueError, match="one batch"):
        conventions.pdebench_code(PREDICTION, TRUTH, 40)


def test_pdebench_nrmse_is_the_mean_of_our_rows_and_its_bands_are_not_ours():
    fixed = conventions.pdebench_fixed(PREDICTION, TRUTH)
    assert fixed["nrmse"] == pytest.approx(metrics.nrmse(PREDICTION[None], TRUTH, FIELDS).mean().item())
    assert fixed["frmse_high"] < 0.5 * metrics.frmse_high(PREDICTION[None], TRUTH, FIELDS).mean().item()


def test_apebench_sums_over_fields():
    ours = metrics.nrmse(PREDICTION[None], TRUTH, FIELDS)
    found = conventions.apebench(PREDICTION, TRUTH)
    assert found["nrmse"] == pytest.approx(2 * ours.mean().item())
    assert found["geometric_nrmse"] == pytest.approx(2 * ours.mean((0, 2)).log().mean().exp().item())


def test_the_wells_variance_divides_by_one_less_and_its_epsilon_shows_on_small_fields():
    found = conventions.well(PREDICTION, TRUTH)
    ours = metrics.vrmse(PREDICTION[None], TRUTH, FIELDS).mean().item()
    assert found["vrmse"] == pytest.approx(ours * (63 / 64) ** 0.5, rel=1e-5)
    small = conventions.well(1e-4 * PREDICTION, 1e-4 * TRUTH)
    assert small["vrmse"] < 0.5 * found["vrmse"]


def test_relative_l2_puts_all_fields_into_one_norm():
    error, truth = (PREDICTION - TRUTH).flatten(1).double(), TRUTH.flatten(1).double()
    expected = (error.square().sum(1) / truth.square().sum(1)).sqrt().mean().item()
    assert conventions.rel_l2(PREDICTION, TRUTH)["relative_l2"] == pytest.approx(expected, rel=1e-6)


def test_per_frame_and_per_trajectory_norms_differ_where_the_field_decays():
    decay = torch.tensor([1.0, 0.1, 0.01]).reshape(1, 3, 1, 1)
    truth, prediction = TRUTH * decay, TRUTH * decay + 0.01
    assert (
        conventions.pdebench_fixed(prediction, truth)["nrmse"]
        > 10 * conventions.rel_l2(prediction, truth)["relative_l2"]
    )
