import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from ups.images import fidelity as module
from ups.images.fidelity import (
    Moments,
    fidelity,
    frechet_bias,
    frechet_distance,
    gaussian_distance,
    kid,
    moments,
)
from ups.streams import stream
from ups.types import UserError


def draw(*shape, name="features", counter=0):
    return torch.randn(*shape, generator=stream(0, name, counter), dtype=torch.float64)


def covariance(size, name):
    factor = draw(size, 2 * size, name=name)
    return factor @ factor.T / (2 * size)


def rotation(size):
    return torch.linalg.qr(draw(size, size, name="rotation"))[0]


# -- the Frechet distance


def test_a_shift_of_the_mean_costs_its_square():
    shift, s = draw(5, name="shift"), covariance(5, "a")
    expected = shift.square().sum().item()
    assert gaussian_distance(Moments(shift, s), Moments(torch.zeros(5).double(), s)) == pytest.approx(
        expected
    )


def test_a_scaling_by_c_costs_the_trace_times_the_square_of_c_minus_one():
    features = draw(400, 6) @ covariance(6, "a")
    features -= features.mean(0)
    expected = torch.cov(features.T).trace().item() * 0.5**2
    assert frechet_distance(features, 1.5 * features) == pytest.approx(expected)


def test_commuting_covariances_cost_the_differences_of_their_roots():
    mean, q = torch.zeros(4).double(), rotation(4)
    a, b = torch.tensor([4.0, 1.0, 0.25, 0.0]).double(), torch.tensor([1.0, 9.0, 0.25, 4.0]).double()
    distance = gaussian_distance(Moments(mean, q * a @ q.T), Moments(mean, q * b @ q.T))
    assert distance == pytest.approx((a.sqrt() - b.sqrt()).square().sum().item())


@pytest.mark.parametrize("size", [2, 7, 30])
def test_any_covariances_agree_with_the_matrix_square_root_of_their_product(size):
    a, b = covariance(size, "a"), covariance(size, "b")
    root = scipy.linalg.sqrtm((a @ b).numpy()).real
    expected = (a.trace() + b.trace()).item() - 2 * np.trace(root)
    mean = torch.zeros(size).double()
    assert gaussian_distance(Moments(mean, a), Moments(mean, b)) == pytest.approx(expected, rel=1e-9)


def test_the_moments_are_those_of_numpy():
    features = draw(50, 7)
    found = moments(features.float())
    np.testing.assert_allclose(found.mean, features.float().numpy().mean(0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(features.float().numpy().T), atol=1e-6)
    assert found.covariance.dtype == torch.float64


def test_identical_sets_are_at_distance_zero_even_with_dead_features():
    features = draw(300, 40)
    features[:, 30:] = 0
    assert abs(frechet_distance(features, features)) < 1e-6


def test_the_distance_is_symmetric_and_invariant_to_order_and_rotation():
    a, b = draw(80, 6, name="a") @ covariance(6, "a"), draw(90, 6, name="b") + 0.3
    distance = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a.flip(0), b) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a @ rotation(6), b @ rotation(6)) == pytest.approx(distance, rel=1e-9)


def test_too_few_samples_are_refused_with_both_numbers():
    with pytest.raises(UserError, match="16 samples are too few for 16 features"):
        frechet_distance(draw(40, 16), draw(16, 16))
    assert math.isfinite(frechet_distance(draw(40, 16), draw(17, 16)))


def test_the_bias_falls_as_one_over_the_count_with_the_constant_of_white_features():
    size, sizes = 8, (200, 400, 800)
    repeats = [frechet_bias(draw(2000, size, counter=i), sizes, stream(0, "subsets", i)) for i in range(25)]
    constant = 2 * size + size * (size + 1) / 2
    for count in sizes:
        mean = np.mean([biases[count] for biases in repeats])
        assert mean * count == pytest.approx(constant, rel=0.12)


def test_the_subsets_of_the_bias_are_disjoint_and_must_fit():
    features = torch.arange(20.0)[:, None]
    bias = frechet_bias(features, [10], stream(0, "halves"))[10]
    order = torch.randperm(20, generator=stream(0, "halves"))
    assert bias == pytest.approx(frechet_distance(features[order[:10]], features[order[10:]]))
    with pytest.raises(UserError, match="11 do not fit into 20 samples; choose at most 10"):
        frechet_bias(features, [11], stream(0, "halves"))


# -- the kernel distance


def kernel(x, y):
    return (x @ y / len(x) + 1) ** 3


def test_the_kernel_distance_is_the_mean_over_pairs_that_its_formula_says(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4)
    a, b = draw(9, 3, name="a"), draw(11, 3, name="b") + 0.5
    expected = (
        np.mean([kernel(x, y) for x, y in itertools.permutations(a, 2)])
        + np.mean([kernel(x, y) for x, y in itertools.permutations(b, 2)])
        - 2 * np.mean([kernel(x, y) for x, y in itertools.product(a, b)])
    )
    found = kid(a, b)
    assert found.value == pytest.approx(expected, rel=1e-10)
    assert found == pytest.approx(kid(a.float(), b.float()), rel=1e-4)


def test_the_standard_error_is_the_jackknife_over_both_sets():
    a, b = draw(9, 3, name="a"), draw(11, 3, name="b") + 0.5
    variance = 0.0
    for left_out in (
        [kid(torch.cat([a[:i], a[i + 1 :]]), b).value for i in range(9)],
        [kid(a, torch.cat([b[:i], b[i + 1 :]])).value for i in range(11)],
    ):
        variance += (len(left_out) - 1) * np.var(left_out)
    assert kid(a, b).standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)


def biased(a, b):
    """The V-statistic, which counts each sample against itself: the fault that a test has to see."""
    pairs = ((a, a), (b, b), (a, b))
    within_a, within_b, across = (((x @ y.T / x.shape[1] + 1) ** 3).mean().item() for x, y in pairs)
    return within_a + within_b - 2 * across


def score_of_zero_mean(estimates):
    return abs(np.mean(estimates)) / (np.std(estimates, ddof=1) / math.sqrt(len(estimates)))


def repeats(count, shift, m=50, n=70, size=6):
    return [
        (draw(m, size, name="a", counter=i), draw(n, size, name="b", counter=i) + shift) for i in range(count)
    ]


def test_equal_laws_are_at_mean_distance_zero_and_a_biased_estimate_is_not():
    pairs = repeats(300, 0.0)
    assert score_of_zero_mean([kid(a, b).value for a, b in pairs]) < 3
    assert score_of_zero_mean([biased(a, b) for a, b in pairs]) > 30


def population_distance(size, shift):
    """The squared MMD of N(0, 1) and N(shift, 1) features: E (x.y / d + 1)^3 from the moments of a Gaussian."""

    def expectation(p, q):
        eye, triple = torch.eye(size).double(), torch.einsum
        second = [eye + torch.outer(m, m) for m in (p, q)]
        third = [
            triple("i,j,k->ijk", m, m, m)
            + triple("i,jk->ijk", m, eye)
            + triple("j,ik->ijk", m, eye)
            + triple("k,ij->ijk", m, eye)
            for m in (p, q)
        ]
        return (
            1
            + 3 * (p @ q) / size
            + 3 * (second[0] * second[1]).sum() / size**2
            + (third[0] * third[1]).sum() / size**3
        ).item()

    zero, moved = torch.zeros(size).double(), torch.full((size,), shift).double()
    return expectation(zero, zero) + expectation(moved, moved) - 2 * expectation(zero, moved)


@pytest.mark.parametrize("shift", [0.4, 1.0])
def test_the_interval_of_two_standard_errors_covers_the_distance_of_the_laws(shift):
    truth = population_distance(6, shift)
    found = [kid(a, b) for a, b in repeats(400, shift)]
    values = np.array([distance.value for distance in found])
    errors = np.array([distance.standard_error for distance in found])
    assert score_of_zero_mean(values - truth) < 3
    assert 0.91 < np.mean(np.abs(values - truth) < 2 * errors) < 0.985
    assert np.mean(errors**2) / values.var() == pytest.approx(1.05, abs=0.2)


def test_between_equal_laws_the_standard_error_is_too_wide_by_the_root_of_two():
    found = [kid(a, b) for a, b in repeats(400, 0.0)]
    values = np.array([distance.value for distance in found])
    errors = np.array([distance.standard_error for distance in found])
    assert np.mean(np.abs(values) < 2 * errors) > 0.95
    assert np.mean(errors**2) / values.var() == pytest.approx(2, abs=0.4)


def test_the_kernel_distance_is_symmetric_and_invariant_to_order_and_rotation():
    a, b = draw(30, 5, name="a"), draw(40, 5, name="b") + 0.2
    expected = pytest.approx(kid(a, b), rel=1e-9)
    assert kid(b, a) == expected
    assert kid(a[torch.randperm(30, generator=stream(0, "order"))], b.flip(0)) == expected
    assert kid(a @ rotation(5), b @ rotation(5)) == expected


def test_three_samples_are_needed():
    with pytest.raises(UserError, match="2 samples are too few"):
        kid(draw(2, 5), draw(40, 5))


# -- as rows


def test_a_row_says_what_was_measured_and_only_inception_gives_fid():
    a, b = draw(30, 5, name="a"), draw(40, 5, name="b")
    found = fidelity("classifier/12345678", "ddim 50 ema", a, b)
    rows = {row.metric: row for row in found.rows("run", "variant", 3)}
    assert set(rows) == {"frechet", "kid", "kid_standard_error"}
    assert rows["frechet"].value == frechet_distance(a, b)
    assert (rows["kid"].value, rows["kid_standard_error"].value) == kid(a, b)
    assert rows["kid"].protocol == "classifier/12345678, 30 against 40"
    assert (rows["kid"].run, rows["kid"].variant, rows["kid"].seed) == ("run", "variant", 3)
    assert (rows["kid"].stepper, rows["kid"].trajectory) == ("ddim 50 ema", -1)
    metrics = {row.metric for row in fidelity("inception/12345678", "x", a, b).rows("run")}
    assert metrics == {"fid", "kid", "kid_standard_error"}


def test_images_that_blew_up_are_infinitely_far():
    a = draw(30, 5)
    a[3, 2] = math.nan
    found = fidelity("classifier/12345678", "ddim 5", a, draw(40, 5))
    assert found.frechet == found.kid.value == math.inf
