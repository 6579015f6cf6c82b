import math

import pytest
import torch
from known_steppers import FIELDS
from scipy import stats

from ups.evaluation import metrics
from ups.evaluation.spectra import power_spectrum
from ups.evaluation.uncertainty import (
    UNCERTAINTY,
    coverage,
    energy_score,
    fair_crps,
    flatness,
    nominal_coverage,
    rank_histogram,
    ranks,
    sample_spectrum_ratio,
    spectral_spread_skill,
    spread,
    spread_skill_ratio,
    squared_error,
)
from ups.streams import stream

GAUSSIAN_CRPS = 1 / math.sqrt(math.pi)  # of a standard normal distribution, its truth drawn from it


def draw(*shape, name="draw", counter=0):
    return torch.randn(*shape, generator=stream(0, name, counter), dtype=torch.float64)


def calibrated(num_members, num=500, num_frames=4, num_fields=1, num_cells=32, width=1.0):
    """Members and truth are draws of one normal distribution about a common signal; `width` scales the members."""
    shape = (num, num_frames, num_fields, num_cells)
    signal = 3.0 * draw(*shape, name="signal")
    return signal + width * draw(num_members, *shape, name="members"), signal + draw(*shape, name="truth")


def smooth(*shape, name, counter=0):
    """Standard normal fields of 64 cells, correlated over about 20 of them."""
    gain = torch.exp(-0.5 * torch.fft.rfftfreq(64, 1 / 64, dtype=torch.float64) ** 2)
    power = (gain[0] ** 2 + 2 * gain[1:-1].square().sum() + gain[-1] ** 2) / 64
    return (
        torch.fft.irfft(torch.fft.rfft(draw(*shape, 64, name=name, counter=counter)) * gain, 64)
        / power.sqrt()
    )


def mean_and_error(values):
    """Over trajectories and frames, which are independent draws in these tests."""
    flat = values.flatten()
    return flat.mean().item(), (flat.std() / math.sqrt(flat.numel())).item()


def near(values, expected, num_errors=3.0):
    mean, error = mean_and_error(values)
    return abs(mean - expected) < num_errors * error


def by_pairs(prediction, truth, norm, divisor):
    """A score written as the double sum over members; `divisor` is M (M - 1) where it is fair."""
    error = (prediction - truth).double()
    pairs = sum(norm(a - b) for a in error for b in error)
    return torch.stack([norm(member) for member in error]).mean(0) - pairs / (2 * divisor)


def mean_abs(values):
    return values.abs().mean(-1)


def rms(values):
    return values.square().mean(-1).sqrt()


@pytest.mark.parametrize("num_members", [2, 3, 8])
@pytest.mark.parametrize(("score", "norm"), [(fair_crps, mean_abs), (energy_score, rms)])
def test_both_scores_are_the_double_sum_over_members(score, norm, num_members):
    prediction, truth = draw(num_members, 3, 2, 2, 5, name="members"), draw(3, 2, 2, 5, name="truth")
    expected = by_pairs(prediction, truth, norm, num_members * (num_members - 1))
    torch.testing.assert_close(score(prediction, truth, FIELDS), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_members", [2, 3, 5, 16])
def test_the_fair_crps_of_a_calibrated_gaussian_is_1_over_root_pi_for_every_ensemble_size(num_members):
    prediction, truth = calibrated(num_members)
    assert near(fair_crps(prediction, truth, FIELDS), GAUSSIAN_CRPS)
    unfair = by_pairs(prediction, truth, mean_abs, num_members**2)
    assert not near(unfair, GAUSSIAN_CRPS)


@pytest.mark.parametrize(("shift", "width"), [(0.0, 0.3), (0.7, 1.0), (-1.0, 2.0)])
def test_the_fair_crps_has_the_closed_form_of_a_gaussian_forecast(shift, width):
    """Gneiting and Raftery 2007, equation 21, for the truth 0."""
    prediction = shift + width * draw(4, 500, 4, 1, 16)
    z = shift / width
    closed = width * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
    truth = torch.zeros(500, 4, 1, 16, dtype=torch.float64)
    assert near(fair_crps(prediction, truth, FIELDS), closed)


@pytest.mark.parametrize("num_members", [2, 4, 16])
def test_the_energy_score_of_a_calibrated_gaussian_does_not_depend_on_the_ensemble_size(num_members):
    prediction, truth = calibrated(num_members, num_cells=8)
    # half the mean distance of two draws: the chi distribution of 8 cells, times sqrt(2), over sqrt(8)
    expected = stats.chi.mean(8) / 2 * math.sqrt(2 / 8)
    assert near(energy_score(prediction, truth, FIELDS), expected)
    assert not near(by_pairs(prediction, truth, rms, num_members**2), expected)


def test_the_energy_score_of_one_cell_is_the_crps():
    prediction, truth = draw(6, 4, 3, 2, 1, name="members"), draw(4, 3, 2, 1, name="truth")
    torch.testing.assert_close(energy_score(prediction, truth, FIELDS), fair_crps(prediction, truth, FIELDS))


def test_the_energy_score_sees_correlations_in_space_that_the_crps_of_cells_cannot():
    truth = draw(2000, 1, 1, 1, name="level").expand(-1, -1, -1, 16)  # one level for the whole frame
    right = draw(4, 2000, 1, 1, 1, name="right").expand(-1, -1, -1, -1, 16)
    rough = draw(4, 2000, 1, 1, 16, name="rough")  # the same distribution in every cell, but white
    crps = [fair_crps(members, truth, FIELDS).mean().item() for members in (right, rough)]
    energy = [energy_score(members, truth, FIELDS).mean().item() for members in (right, rough)]
    assert crps[0] == pytest.approx(crps[1], rel=0.05)
    assert energy[0] < 0.9 * energy[1]


def test_a_single_member_is_a_point_forecast():
    prediction, truth = draw(1, 3, 2, 2, 9, name="member"), draw(3, 2, 2, 9, name="truth")
    error = prediction[0] - truth
    found = {name: metric(prediction, truth, FIELDS) for name, metric in UNCERTAINTY.items()}
    torch.testing.assert_close(found["fair_crps"], error.abs().mean(-1))
    torch.testing.assert_close(found["energy_score"], metrics.rmse(prediction, truth, FIELDS))
    torch.testing.assert_close(found["squared_error"], error.square().mean(-1))
    assert (found["spread"] == 0).all()
    assert (spectral_spread_skill(prediction, truth)[0] == 0).all()
    assert (spread_skill_ratio(found["spread"], found["squared_error"]) == 0).all()


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_the_order_of_members_does_not_matter_and_units_scale(name):
    metric = UNCERTAINTY[name]
    prediction, truth = draw(5, 3, 2, 2, 9, name="members"), draw(3, 2, 2, 9, name="truth")
    value = metric(prediction, truth, FIELDS)
    torch.testing.assert_close(metric(prediction[[3, 0, 4, 1, 2]], truth, FIELDS), value)
    factor = 16.0 if name in ("spread", "squared_error") else 4.0
    torch.testing.assert_close(metric(4 * prediction + 7, 4 * truth + 7, FIELDS), factor * value)


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_equal_members_are_a_point_forecast_and_the_truth_scores_0(name):
    prediction, truth = draw(1, 3, 2, 1, 9, name="member"), draw(3, 2, 1, 9, name="truth")
    metric = UNCERTAINTY[name]
    once, thrice = (
        metric(prediction, truth, FIELDS),
        metric(prediction.expand(3, -1, -1, -1, -1), truth, FIELDS),
    )
    torch.testing.assert_close(once, thrice)
    assert metric(truth.expand(4, -1, -1, -1, -1), truth, FIELDS).abs().max() == 0


@pytest.mark.parametrize("name", UNCERTAINTY)
@pytest.mark.parametrize("num_members", [1, 4])
def test_a_member_that_blew_up_gives_nan_in_its_frame_alone(name, num_members):
    prediction, truth = draw(num_members, 3, 2, 2, 9, name="members"), draw(3, 2, 2, 9, name="truth")
    prediction[0, 1, 1, 0, 4] = math.nan
    bad = UNCERTAINTY[name](prediction, truth, FIELDS).isnan()
    assert bad[1, 1, 0] or (name == "spread" and num_members == 1)
    assert bad.sum() == bad[1, 1, 0]


@pytest.mark.parametrize("num_members", [2, 5, 16])
def test_a_calibrated_ensemble_of_any_size_has_a_spread_skill_ratio_of_1(num_members):
    prediction, truth = calibrated(num_members, num_fields=2)
    own, error = (metric(prediction, truth, FIELDS) for metric in (spread, squared_error))
    assert near(own, (num_members + 1) / num_members)
    ratio = spread_skill_ratio(own, error)
    assert ratio.shape == (4, 2)
    assert near(ratio, 1.0)
    uncorrected = ratio * math.sqrt(num_members / (num_members + 1))
    assert not near(uncorrected, 1.0)


def test_the_ratio_is_formed_of_means_since_the_mean_of_ratios_is_biased():
    prediction, truth = calibrated(4, num=2000, num_cells=4)
    own, error = (metric(prediction, truth, FIELDS) for metric in (spread, squared_error))
    assert near(spread_skill_ratio(own, error), 1.0)
    assert (own / error).sqrt().mean() > 1.2


@pytest.mark.parametrize("num_members", [1, 2, 7])
def test_ranks_count_the_members_below_and_are_uniform_where_all_are_equal(num_members):
    truth = torch.zeros(3, 2, 1, 3000)
    offset = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    found = ranks((offset + truth).expand(num_members, -1, -1, -1, -1), truth, stream(0, "ties"))
    assert (found[0] == num_members).all()
    assert (found[2] == 0).all()
    shares = rank_histogram(found, num_members)
    assert (shares[0, ..., -1] == 1).all()
    torch.testing.assert_close(
        shares[1], torch.full_like(shares[1], 1 / (num_members + 1)), rtol=0, atol=0.04
    )


def test_the_histogram_counts_ranks_frame_by_frame():
    prediction, truth = calibrated(5, num=3, num_frames=2, num_fields=2)
    found = ranks(prediction, truth, stream(0, "ties"))
    expected = torch.nn.functional.one_hot(found, 6).double().mean(3)
    torch.testing.assert_close(rank_histogram(found, 5), expected)
    assert torch.equal(found, (prediction < truth).sum(0))  # no ties here


def shares_of(prediction, truth):
    """The rank histogram of each trajectory, its frames and fields pooled."""
    found = rank_histogram(ranks(prediction, truth, stream(0, "ties")), prediction.shape[0])
    return found.mean((1, 2))


@pytest.mark.parametrize("num_members", [4, 16])
def test_flatness_holds_what_it_promises_on_smooth_calibrated_ensembles(num_members):
    num, num_draws = 30, 200
    p_values, naive = [], []
    for counter in range(num_draws):
        prediction = smooth(num_members, num, 1, 1, name="members", counter=counter)
        truth = smooth(num, 1, 1, name="truth", counter=counter)
        shares = shares_of(prediction, truth)
        p_values.append(flatness(shares).p_value)
        naive.append(stats.chisquare(shares.sum(0).numpy() * 64).pvalue)
    false_alarms = (torch.tensor(p_values) < 0.05).double().mean()
    assert 0.01 < false_alarms < 0.1
    assert 0.35 < torch.tensor(p_values).mean() < 0.65
    assert (torch.tensor(naive) < 0.05).double().mean() > 0.9  # why the correction is there


@pytest.mark.parametrize("fault", ["narrow", "wide", "biased"])
def test_flatness_finds_a_fault_of_a_smooth_ensemble(fault):
    width, bias = {"narrow": (0.6, 0.0), "wide": (1.6, 0.0), "biased": (1.0, 0.4)}[fault]
    prediction = bias + width * smooth(8, 100, 1, 1, name="members")
    assert flatness(shares_of(prediction, smooth(100, 1, 1, name="truth"))).p_value < 0.01


def test_flatness_of_ranks_that_all_agree_is_refuted_and_of_a_flat_histogram_is_not():
    lowest = torch.zeros(40, 5, dtype=torch.float64)
    lowest[:, 0] = 1.0
    assert flatness(lowest).p_value < 1e-6
    assert flatness(torch.full((40, 4), 0.25, dtype=torch.float64)).p_value == 1.0
    assert math.isnan(flatness(lowest[:1]).p_value)


def test_the_effective_sample_counts_independent_cells_and_sees_correlation():
    prediction, truth = draw(4, 200, 1, 1, 64), draw(200, 1, 1, 64, name="truth")
    white = flatness(shares_of(prediction, truth))
    assert white.effective_sample == pytest.approx(200 * 64, rel=0.1)
    levels = (values[..., :1].expand(values.shape) for values in (prediction, truth))
    level = flatness(shares_of(*levels))
    assert level.effective_sample == pytest.approx(200, rel=0.1)


@pytest.mark.parametrize("num_members", [2, 4, 16, 19])
def test_coverage_of_a_calibrated_ensemble_is_nominal(num_members):
    prediction, truth = calibrated(num_members)
    levels = [0.1, 0.5, 0.9]
    for level, share in zip(levels, coverage(prediction, truth, levels), strict=True):
        expected = nominal_coverage(num_members, level)
        assert near(share, expected) or (expected == 0 and (share == 0).all())


def test_nominal_levels_are_the_nearest_that_the_ensemble_has():
    assert nominal_coverage(16, 0.9) == pytest.approx(15 / 17)
    assert nominal_coverage(16, 0.5) == pytest.approx(9 / 17)
    assert nominal_coverage(19, 0.9) == pytest.approx(0.9)
    assert nominal_coverage(2, 0.9) == pytest.approx(1 / 3)
    assert nominal_coverage(1, 0.9) == 0.0


def test_intervals_end_at_members_and_hold_their_ends():
    members = torch.tensor([3.0, 1.0, 4.0, 2.0]).reshape(4, 1, 1, 1, 1).expand(-1, -1, -1, -1, 6)
    truth = torch.tensor([0.9, 1.0, 1.9, 2.0, 3.0, 4.1]).reshape(1, 1, 1, 6)
    wide, narrow = coverage(members, truth, [0.6, 0.2])
    assert wide.item() == pytest.approx(4 / 6)
    assert narrow.item() == pytest.approx(2 / 6)


def test_every_measure_catches_an_ensemble_that_is_too_narrow():
    good, truth = calibrated(8)
    narrow, _ = calibrated(8, width=0.7)
    for metric in (fair_crps, energy_score):
        gap = metric(narrow, truth, FIELDS) - metric(good, truth, FIELDS)
        mean, error = mean_and_error(gap)
        assert mean > 3 * error
    ratio = spread_skill_ratio(spread(narrow, truth, FIELDS), squared_error(narrow, truth, FIELDS))
    assert (ratio < 0.8).all()
    assert flatness(shares_of(narrow, truth)).p_value < 1e-6
    assert (coverage(narrow, truth, [0.5, 0.8]).mean((1, 2, 3)) < torch.tensor([0.46, 0.69])).all()
    own, error = spectral_spread_skill(narrow, truth)
    assert (own.mean((0, 1)) < 0.7 * error.mean((0, 1))).all()
    assert (sample_spectrum_ratio(narrow, truth) < 1.0).all()


@pytest.mark.parametrize("space", [(16,), (6, 8)])
def test_spread_and_error_per_wavenumber_add_up_to_the_whole(space):
    prediction, truth = draw(5, 3, 2, 2, *space, name="members"), draw(3, 2, 2, *space, name="truth")
    own, error = spectral_spread_skill(prediction, truth)
    torch.testing.assert_close(own.sum(-1), spread(prediction, truth, FIELDS))
    torch.testing.assert_close(error.sum(-1), squared_error(prediction, truth, FIELDS))


def test_spread_is_found_at_the_wavenumber_that_has_it():
    angle = 2 * math.pi * torch.arange(32, dtype=torch.float64) / 32
    size = draw(6, 200, 1, 1, 1, name="size")
    truth = draw(200, 1, 1, 1, name="true size") * torch.cos(3 * angle) + torch.cos(5 * angle)
    own, error = spectral_spread_skill(size * torch.cos(3 * angle), truth)
    own, error = own.mean(0).squeeze(), error.mean(0).squeeze()
    assert own[3] / error[3] == pytest.approx(1.0, rel=0.3)
    assert own[5] == pytest.approx(0.0, abs=1e-20)  # it does not know that it misses this wave
    assert error[5] == pytest.approx(0.5)


def test_the_spectrum_of_samples_is_judged_and_not_that_of_their_mean():
    prediction, truth = draw(8, 400, 1, 1, 16, name="members"), draw(400, 1, 1, 16, name="truth")
    ratio = sample_spectrum_ratio(prediction, truth)
    assert ratio.shape == (1, 1, 9)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=0.25)
    of_mean = power_spectrum(prediction.mean(0)).mean(0) / power_spectrum(truth).mean(0)
    assert (of_mean < 0.3).all()
    torch.testing.assert_close(sample_spectrum_ratio(2 * truth[None], truth), torch.full_like(ratio, 4.0))


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_single_precision_is_left_before_the_first_difference(name):
    prediction, truth = (
        draw(6, 3, 2, 1, 9, name="members").float(),
        1000 * draw(3, 2, 1, 9, name="truth").float(),
    )
    exact = UNCERTAINTY[name](prediction.double(), truth.double(), FIELDS)
    torch.testing.assert_close(UNCERTAINTY[name](prediction, truth, FIELDS), exact, rtol=1e-13, atol=0)
