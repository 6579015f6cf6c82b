import pytest
import torch

from ups.probes.lanczos import lanczos
from ups.probes.products import flatten, gauss_newton_product, hessian_product, unflatten
from ups.streams import stream


def start(size, dtype=torch.float64):
    return torch.randn(size, generator=stream(0, "start"), dtype=torch.float64).to(dtype)


def symmetric(values):
    values = torch.as_tensor(values, dtype=torch.float64)
    q, _ = torch.linalg.qr(
        torch.randn(len(values), len(values), generator=stream(0, "q"), dtype=torch.float64)
    )
    return q @ values.diag() @ q.T


def test_the_extremes_of_the_hessian_are_those_of_the_dense_one(case):
    dense, params = torch.linalg.eigvalsh(case.dense_hessian()), case.params
    extremes = lanczos(
        lambda v: flatten(hessian_product(case.objective, params, unflatten(v, params))),
        start(len(dense)),
        max_steps=200,
        tolerance=1e-10,
    )
    assert extremes.largest == pytest.approx(dense[-1].item(), rel=1e-8)
    assert extremes.smallest == pytest.approx(dense[0].item(), rel=1e-8, abs=1e-10)


def test_the_extremes_of_gauss_newton_are_those_of_the_dense_one(case):
    dense, params = torch.linalg.eigvalsh(case.dense_gauss_newton()), case.params
    extremes = lanczos(
        lambda v: flatten(gauss_newton_product(case.outputs, case.loss, params, unflatten(v, params))),
        start(len(dense)),
        max_steps=200,
        tolerance=1e-10,
    )
    assert extremes.largest == pytest.approx(dense[-1].item(), rel=1e-8)
    assert extremes.smallest == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("max_steps", range(1, 12))
def test_an_unfinished_run_stays_inside_the_spectrum_and_near_an_eigenvalue(max_steps):
    values = torch.linspace(-1, 1, 60, dtype=torch.float64) ** 3 * 7 + 1
    matrix = symmetric(values)
    extremes = lanczos(lambda v: matrix @ v, start(60), max_steps, tolerance=0.0)
    assert extremes.num_steps == max_steps
    assert values[0] - 1e-12 <= extremes.smallest <= extremes.largest <= values[-1] + 1e-12
    for value, residual in (
        (extremes.largest, extremes.largest_residual),
        (extremes.smallest, extremes.smallest_residual),
    ):
        assert (values - value).abs().min() <= residual + 1e-12


def test_the_residual_is_that_of_the_ritz_vector():
    """One step by hand: the Ritz value is the Rayleigh quotient of the start."""
    matrix, v = symmetric([3.0, 1.0, -2.0, 0.5]), start(4)
    extremes = lanczos(lambda x: matrix @ x, v, max_steps=1)
    unit = v / v.norm()
    quotient = unit @ matrix @ unit
    assert extremes.largest == extremes.smallest == pytest.approx(quotient.item())
    assert extremes.largest_residual == pytest.approx((matrix @ unit - quotient * unit).norm().item())


@pytest.mark.parametrize("num_steps", [2, 5])
def test_values_and_residuals_are_those_of_the_best_vectors_in_the_krylov_space(num_steps):
    matrix, v = symmetric(torch.linspace(-3, 2, 20)), start(20)
    powers = torch.stack([torch.linalg.matrix_power(matrix, k) @ v for k in range(num_steps)], dim=1)
    basis, _ = torch.linalg.qr(powers)
    values, vectors = torch.linalg.eigh(basis.T @ matrix @ basis)
    ritz = basis @ vectors
    residuals = (matrix @ ritz - ritz * values).norm(dim=0)
    extremes = lanczos(lambda x: matrix @ x, v, num_steps)
    assert extremes.largest == pytest.approx(values[-1].item(), rel=1e-9)
    assert extremes.smallest == pytest.approx(values[0].item(), rel=1e-9)
    assert extremes.largest_residual == pytest.approx(residuals[-1].item(), rel=1e-9)
    assert extremes.smallest_residual == pytest.approx(residuals[0].item(), rel=1e-9)


def test_distinct_eigenvalues_are_found_in_as_many_steps():
    matrix = symmetric([4.0] * 10 + [-3.0] * 15 + [0.5] * 15)
    extremes = lanczos(lambda v: matrix @ v, start(40))
    assert extremes.num_steps == 3
    assert extremes.largest == pytest.approx(4.0, rel=1e-12)
    assert extremes.smallest == pytest.approx(-3.0, rel=1e-12)


def test_a_flat_function_has_no_curvature():
    extremes = lanczos(torch.zeros_like, start(5))
    assert (extremes.largest, extremes.smallest, extremes.num_steps) == (0.0, 0.0, 1)


def test_the_last_step_is_exact_since_orthogonality_is_kept():
    """Sixty eigenvalues over eight decades; without reorthogonalization the smallest is never reached."""
    values = torch.logspace(-8, 0, 60, dtype=torch.float64)
    matrix = symmetric(values)
    extremes = lanczos(lambda v: matrix @ v, start(60), max_steps=60, tolerance=0.0)
    assert extremes.num_steps == 60
    assert extremes.smallest == pytest.approx(1e-8, rel=1e-6)


def test_single_precision_gives_single_precision():
    matrix = symmetric(torch.linspace(-40, 100, 200)).float()
    extremes = lanczos(lambda v: matrix @ v, start(200, torch.float32), max_steps=80)
    assert extremes.largest == pytest.approx(100.0, rel=1e-4)
    assert extremes.smallest == pytest.approx(-40.0, rel=1e-3)
