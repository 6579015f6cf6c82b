import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ups.probes.products import (
    flatten,
    full_precision,
    gauss_newton_form,
    gauss_newton_product,
    hessian_form,
    hessian_product,
    inner,
    unflatten,
)
from ups.streams import stream


def direction(params, name="v"):
    flat = flatten(params)
    drawn = torch.randn(len(flat), generator=stream(0, name), dtype=torch.float64)
    return unflatten(drawn, params)


def test_the_hessian_product_is_that_of_the_dense_hessian(case):
    v = direction(case.params)
    product = flatten(hessian_product(case.objective, case.params, v))
    torch.testing.assert_close(product, case.dense_hessian() @ flatten(v), rtol=1e-10, atol=1e-12)


def test_the_gauss_newton_product_is_that_of_the_dense_matrix(case):
    v = direction(case.params)
    product = flatten(gauss_newton_product(case.outputs, case.loss, case.params, v))
    torch.testing.assert_close(product, case.dense_gauss_newton() @ flatten(v), rtol=1e-10, atol=1e-12)


def test_the_hessian_product_is_the_finite_difference_of_the_gradient(case):
    """By the ordinary tape, so that nothing is shared with what is tested; the error falls by 4 as h is halved."""
    v = direction(case.params)
    product = flatten(hessian_product(case.objective, case.params, v))

    def slope(h):
        moved = {name: (p + h * v[name]).requires_grad_() for name, p in case.params.items()}
        gradients = torch.autograd.grad(case.objective(moved), list(moved.values()))
        return torch.cat([g.flatten() for g in gradients])

    errors = [((slope(h) - slope(-h)) / (2 * h) - product).norm() / product.norm() for h in (2e-4, 1e-4)]
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)


def test_the_forms_are_the_products_with_the_vector(case):
    v, params = direction(case.params), case.params
    straight = inner(v, hessian_product(case.objective, params, v))
    assert hessian_form(case.objective, params)(v) == pytest.approx(straight, rel=1e-12)
    straight = inner(v, gauss_newton_product(case.outputs, case.loss, params, v))
    assert gauss_newton_form(case.outputs, case.loss, params)(v) == pytest.approx(straight, rel=1e-12)


def test_both_matrices_are_symmetric_and_gauss_newton_has_no_negative_direction(case):
    v, w, params = direction(case.params), direction(case.params, "w"), case.params
    for product in (
        lambda x: hessian_product(case.objective, params, x),
        lambda x: gauss_newton_product(case.outputs, case.loss, params, x),
    ):
        assert inner(w, product(v)) == pytest.approx(inner(v, product(w)), rel=1e-10)
    forms = [gauss_newton_form(case.outputs, case.loss, params)(direction(params, f"{k}")) for k in range(20)]
    assert min(forms) >= 0


def test_a_quadratic_has_its_matrix_as_both(mlp):
    a = torch.randn(7, 7, generator=stream(0, "a"), dtype=torch.float64)
    params = {"first": torch.ones(2, 2, dtype=torch.float64), "second": torch.ones(3, dtype=torch.float64)}

    def outputs(p):
        return a @ flatten(p)

    def loss(out):
        return 0.5 * (out**2).sum()

    v = direction(params)
    expected = a.T @ a @ flatten(v)
    for product in (
        hessian_product(lambda p: loss(outputs(p)), params, v),
        gauss_newton_product(outputs, loss, params, v),
    ):
        torch.testing.assert_close(flatten(product), expected, rtol=1e-12, atol=1e-12)


def test_single_precision_agrees_to_single_precision(mlp):
    v = direction(mlp.params)
    exact = flatten(hessian_product(mlp.objective, mlp.params, v))
    single = {name: p.float() for name, p in mlp.params.items()}
    x, goal = mlp.x.float(), mlp.goal.float()
    weight = torch.linspace(0.5, 2.0, len(goal))

    def objective(p):
        hidden = torch.tanh(x @ p["0.weight"].T + p["0.bias"])
        out = hidden @ p["2.weight"].T + p["2.bias"]
        return (weight * ((out - goal) ** 2).mean(1)).mean()

    product = flatten(hessian_product(objective, single, {name: t.float() for name, t in v.items()}))
    assert product.dtype == torch.float32
    torch.testing.assert_close(product.double(), exact, rtol=1e-4, atol=1e-5)


def test_products_do_not_care_whether_gradients_are_on_and_leave_no_graph(mlp):
    v = direction(mlp.params)
    leaves = {name: p.clone().requires_grad_() for name, p in mlp.params.items()}
    with torch.no_grad():
        quiet = flatten(hessian_product(mlp.objective, mlp.params, v))
    product = flatten(hessian_product(mlp.objective, leaves, v))
    assert torch.equal(product, quiet)
    assert not product.requires_grad
    assert all(leaf.grad is None for leaf in leaves.values())


def test_inside_autocast_the_product_is_the_same(mlp):
    v = direction(mlp.params)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = flatten(hessian_product(mlp.objective, mlp.params, v))
    assert torch.equal(inside, flatten(hessian_product(mlp.objective, mlp.params, v)))


def test_inside_all_is_exact_and_afterwards_as_before(mlp):
    def settings():
        return (
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.flash_sdp_enabled(),
            torch.is_autocast_enabled("cpu"),
        )

    def interrupted():
        with full_precision(mlp.params):
            assert settings() == ("highest", False, False, False)
            raise InterruptedError

    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.autocast("cpu", dtype=torch.bfloat16):
            before = settings()
            with pytest.raises(InterruptedError):
                interrupted()
            assert settings() == before
    finally:
        torch.set_float32_matmul_precision(precision)


def test_flattening_goes_back_and_forth(mlp):
    flat = flatten(mlp.params)
    assert len(flat) == sum(p.numel() for p in mlp.model.parameters())
    back = unflatten(flat, mlp.params)
    assert all(torch.equal(back[name], p) for name, p in mlp.params.items())
