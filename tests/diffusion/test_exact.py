import pytest
import torch

from ups.diffusion.exact import GaussianDenoiser, GaussianFlow
from ups.diffusion.flow_maps import move
from ups.diffusion.process import DDPM, EDM, Cosine, Linear, beta_cosine
from ups.streams import stream

STD, MEAN = 0.5, 1.3
X = torch.tensor([[-1.0], [0.4], [2.5]], dtype=torch.float64)
T, M, S = (
    torch.tensor(values, dtype=torch.float64)
    for values in ([0.9, 0.7, 1.0], [0.5, 0.6, 0.3], [0.1, 0.0, 0.2])
)


@pytest.fixture(
    params=[Linear(), Cosine(), DDPM(), DDPM(beta_cosine), EDM()],
    ids=["linear", "cosine", "ddpm_linear", "ddpm_cosine", "edm"],
)
def process(request):
    return request.param


def test_the_denoiser_is_the_regression_of_data_on_noisy_data(process):
    generator = stream(0, "regression")
    x0, noise = (torch.randn(200_000, generator=generator, dtype=torch.float64) for _ in range(2))
    x0 = MEAN + STD * x0
    t = torch.tensor(0.4, dtype=torch.float64)
    x_t = process.corrupt(x0, noise, t)
    slope = torch.cov(torch.stack([x0, x_t]))[0, 1] / x_t.var()
    estimate = GaussianDenoiser(process, STD, MEAN)(x_t, t)
    torch.testing.assert_close(estimate, x0.mean() + slope * (x_t - x_t.mean()), rtol=0, atol=0.03)


def test_one_long_jump_is_two_short_ones(process):
    flow = GaussianFlow(process, STD, MEAN)
    torch.testing.assert_close(flow(flow(X, T, M), M, S), flow(X, T, S), rtol=1e-12, atol=1e-13)


def test_the_flow_keeps_the_distribution(process):
    flow = GaussianFlow(process, STD, MEAN)
    alpha, sigma = process.scales(T)
    end_alpha, end_sigma = process.scales(S)
    spread = torch.sqrt((alpha * STD) ** 2 + sigma**2)
    for quantile in (-2.0, 0.0, 1.0):
        start = (alpha * MEAN + quantile * spread)[:, None]
        end = end_alpha * MEAN + quantile * torch.sqrt((end_alpha * STD) ** 2 + end_sigma**2)
        torch.testing.assert_close(flow(start, T, S), end[:, None], rtol=1e-12, atol=1e-12)


def test_the_flow_follows_the_denoiser(process):
    step = 1e-5
    flow, denoiser = GaussianFlow(process, STD, MEAN), GaussianDenoiser(process, STD, MEAN)
    t = M
    change = flow(X, t, t - step) - X
    torch.testing.assert_close(move(process, X, denoiser(X, t), t, t - step), X + change, rtol=0, atol=3e-8)


def test_one_hop_with_the_exact_shortcut_lands_where_the_flow_does(process):
    flow = GaussianFlow(process, STD, MEAN)
    torch.testing.assert_close(
        move(process, X, flow.x0(X, T, S), T, S), flow(X, T, S), rtol=1e-11, atol=1e-11
    )


def test_the_consistency_map_is_constant_along_a_path(process):
    flow = GaussianFlow(process, STD, MEAN)
    torch.testing.assert_close(
        flow.consistency(flow(X, T, M), M), flow.consistency(X, T), rtol=1e-12, atol=1e-12
    )


def test_the_closed_forms_of_the_linear_path_hold():
    flow = GaussianFlow(Linear(), STD)
    clean, d = 1 - T, T - S
    size = torch.sqrt(clean**2 * STD**2 + T**2)
    size_end = torch.sqrt((clean + d) ** 2 * STD**2 + S**2)
    shortcut = X + (T * (size_end / size - 1) / d)[:, None] * X
    torch.testing.assert_close(flow.x0(X, T, S), shortcut, rtol=1e-12, atol=0)
    torch.testing.assert_close(flow.consistency(X, T), X * (STD / size)[:, None], rtol=1e-12, atol=0)
    torch.testing.assert_close(
        GaussianDenoiser(Linear(), STD)(X, T), X * (clean * STD**2 / size**2)[:, None], rtol=1e-12, atol=0
    )


def test_a_spectrum_of_standard_deviations_acts_mode_by_mode():
    spectrum = torch.tensor([2.0, 0.5, 0.1], dtype=torch.float64)
    x = X.expand(3, 3)
    together = GaussianFlow(Cosine(), spectrum)(x, T, S)
    for mode, std in enumerate(spectrum.tolist()):
        torch.testing.assert_close(together[:, mode : mode + 1], GaussianFlow(Cosine(), std)(X, T, S))
