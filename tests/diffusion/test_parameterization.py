import pytest
import torch

from ups.diffusion.parameterization import edm, eps, flow, v, x0
from ups.streams import stream

FACTORIES = [x0, eps, v, flow, edm]
STD = 0.7
generator = stream(0, "coefficients")
ALPHA, SIGMA = (torch.rand(50, generator=generator, dtype=torch.float64) + 0.01 for _ in range(2))
DATA, NOISE = (torch.randn(50, generator=generator, dtype=torch.float64) for _ in range(2))
X_T = ALPHA * DATA + SIGMA * NOISE
TARGETS = {
    x0: DATA,
    eps: NOISE,
    v: (ALPHA * NOISE - SIGMA * DATA) / torch.sqrt(ALPHA**2 + SIGMA**2),
    flow: NOISE - DATA,
    edm: (DATA * SIGMA**2 - ALPHA * SIGMA * STD**2 * NOISE)
    / (SIGMA * STD * torch.sqrt((ALPHA * STD) ** 2 + SIGMA**2)),
}
IDS = [factory.__name__ for factory in FACTORIES]


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_a_perfect_network_gives_the_data(factory):
    _, c_skip, c_out = factory(STD)(ALPHA, SIGMA)
    torch.testing.assert_close(c_skip * X_T + c_out * TARGETS[factory], DATA, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_rescaling_the_process_changes_nothing(factory):
    output = torch.linspace(-1, 1, 50, dtype=torch.float64)
    c_in, c_skip, c_out = factory(STD)(ALPHA, SIGMA)
    c_in2, c_skip2, c_out2 = factory(STD)(3.7 * ALPHA, 3.7 * SIGMA)
    torch.testing.assert_close(c_in2 * 3.7 * X_T, c_in * X_T, rtol=1e-12, atol=0)
    torch.testing.assert_close(c_skip2 * 3.7 * X_T + c_out2 * output, c_skip * X_T + c_out * output)


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_the_input_of_the_network_has_unit_variance(factory):
    c_in, _, _ = factory(STD)(ALPHA, SIGMA)
    torch.testing.assert_close(c_in**2 * ((ALPHA * STD) ** 2 + SIGMA**2), torch.ones_like(ALPHA))


def test_edm_of_unit_data_is_minus_v():
    ours, theirs = edm(1.0)(ALPHA, SIGMA), v(1.0)(ALPHA, SIGMA)
    torch.testing.assert_close(ours.c_skip, theirs.c_skip)
    torch.testing.assert_close(ours.c_out, -theirs.c_out)


def test_edm_is_the_best_linear_guess_plus_a_unit_variance_rest():
    _, c_skip, c_out = edm(STD)(ALPHA, SIGMA)
    posterior_variance = 1 / (1 / STD**2 + ALPHA**2 / SIGMA**2)
    torch.testing.assert_close(c_out**2, posterior_variance)
    torch.testing.assert_close(c_skip, ALPHA / SIGMA**2 * posterior_variance)
