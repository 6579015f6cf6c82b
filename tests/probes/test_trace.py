import math

import pytest
import torch

from ups.probes.gradients import gradient
from ups.probes.products import flatten, gauss_newton_form, hessian_form
from ups.probes.trace import Trace, hutchinson, rademacher


def off_diagonal_variance(matrix):
    return 2 * ((matrix - matrix.diag().diag()) ** 2).sum().item()


def test_the_hessian_trace_is_within_three_standard_errors(case):
    trace = hutchinson(hessian_form(case.objective, case.params), rademacher(case.params, 0, 100))
    assert abs(trace.mean - case.dense_hessian().trace().item()) < 3 * trace.sem


def test_the_gauss_newton_trace_is_within_three_standard_errors(case):
    form = gauss_newton_form(case.outputs, case.loss, case.params)
    trace = hutchinson(form, rademacher(case.params, 0, 100))
    assert abs(trace.mean - case.dense_gauss_newton().trace().item()) < 3 * trace.sem


def test_the_variance_is_twice_the_squared_off_diagonal(mlp):
    trace = hutchinson(hessian_form(mlp.objective, mlp.params), rademacher(mlp.params, 1, 1000))
    assert trace.std**2 == pytest.approx(off_diagonal_variance(mlp.dense_hessian()), rel=0.1)


def test_the_variance_is_twice_the_squared_off_diagonal_for_every_network(case):
    """The quadratic form from the dense matrix, so that many vectors cost nothing."""
    for matrix in (case.dense_hessian(), case.dense_gauss_newton()):

        def form(vector, matrix=matrix):
            flat = flatten(vector)
            return float(flat @ matrix @ flat)

        trace = hutchinson(form, rademacher(case.params, 2, 4000))
        assert trace.std**2 == pytest.approx(off_diagonal_variance(matrix), rel=0.1)
        assert abs(trace.mean - matrix.trace().item()) < 3 * trace.sem


def test_a_diagonal_matrix_is_exact_with_one_vector():
    diagonal = torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    params = {"p": torch.ones(4, dtype=torch.float64)}
    form = hessian_form(lambda p: 0.5 * (diagonal * p["p"] ** 2).sum(), params)
    assert hutchinson(form, rademacher(params, 0, 3)).raw == (4.5, 4.5, 4.5)


def test_the_vectors_are_fair_independent_signs(mlp):
    vectors = torch.stack([flatten(v) for v in rademacher(mlp.params, 0, 4000)])
    assert (vectors.abs() == 1).all()
    covariance = vectors.T @ vectors / len(vectors)
    assert (covariance - torch.eye(vectors.shape[1])).abs().max() < 5 / math.sqrt(len(vectors))
    assert vectors.mean(0).abs().max() < 5 / math.sqrt(len(vectors))


def test_a_vector_depends_on_the_seed_and_its_place_alone(mlp):
    few, many = ([flatten(v) for v in rademacher(mlp.params, 3, num)] for num in (2, 5))
    assert all(torch.equal(a, b) for a, b in zip(few, many, strict=False))
    single = {name: p.float() for name, p in mlp.params.items()}
    assert torch.equal(flatten(next(rademacher(single, 3, 1))).double(), few[0])
    assert not torch.equal(flatten(next(rademacher(mlp.params, 4, 1))), few[0])


def descend(case, num_steps):
    params = case.params
    for _ in range(num_steps):
        slope = gradient(case.objective, params)
        params = {name: p - 1e-3 * slope[name] for name, p in params.items()}
    return params


def test_shared_vectors_tighten_the_difference_of_two_checkpoints_five_times(case):
    after = descend(case, 20)
    forms = [hessian_form(case.objective, params) for params in (case.params, after)]
    first, second = (hutchinson(form, rademacher(after, 0, 60)) for form in forms)
    elsewhere = hutchinson(forms[1], rademacher(after, 1, 60))
    paired, independent = first - second, first - elsewhere
    assert paired.std * 5 < independent.std
    flat = torch.cat([p.flatten() for p in after.values()])
    truth = case.dense_hessian().trace() - case.dense_hessian(flat).trace()
    assert abs(paired.mean - truth.item()) < 3 * paired.sem
    assert abs(independent.mean - truth.item()) < 3 * independent.sem


def test_mean_and_errors_are_those_of_the_values():
    trace = Trace((1.0, 2.0, 3.0, 6.0))
    assert trace.mean == 3.0
    assert trace.std == pytest.approx(math.sqrt(14 / 3))
    assert trace.sem == pytest.approx(math.sqrt(14 / 3) / 2)
    assert math.isnan(Trace((1.0,)).sem)


def test_unequal_numbers_of_vectors_cannot_be_paired():
    with pytest.raises(ValueError, match="zip"):
        Trace((1.0, 2.0)) - Trace((1.0,))
