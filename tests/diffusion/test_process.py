import math

import pytest
import torch

from ups.diffusion.process import DDPM, EDM, LOGSNR_LIMIT, Cosine, Linear, beta_cosine
from ups.streams import stream

PROCESSES = [Linear(), Cosine(), DDPM(), DDPM(beta_cosine), EDM()]


@pytest.fixture(params=PROCESSES, ids=["linear", "cosine", "ddpm_linear", "ddpm_cosine", "edm"])
def process(request):
    return request.param


def test_logsnr_falls_strictly_and_time_is_its_inverse(process):
    t = torch.linspace(1e-5, 1 - 1e-5, 997, dtype=torch.float64)
    logsnr = process.logsnr(t)
    assert (logsnr.diff() < 0).all()
    torch.testing.assert_close(process.time(logsnr), t, rtol=0, atol=1e-10)


def test_time_is_the_inverse_in_single_precision_too(process):
    t = torch.linspace(0.01, 0.99, 99)
    torch.testing.assert_close(process.time(process.logsnr(t)), t, rtol=0, atol=1e-5)


def test_the_data_end_is_the_data_and_no_logsnr_is_infinite(process):
    ends = torch.tensor([0.0, 1.0])
    x0, noise = torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0])
    assert process.corrupt(x0, noise, ends)[0] == 2.0
    assert process.logsnr(ends)[0] == pytest.approx(LOGSNR_LIMIT)
    assert process.logsnr(ends)[1] >= -LOGSNR_LIMIT
    torch.testing.assert_close(process.time(torch.tensor([1e9, -1e9])), ends, rtol=0, atol=1e-15)


@pytest.mark.parametrize("process", [Linear(), Cosine()], ids=["linear", "cosine"])
def test_the_noise_end_is_pure_noise(process):
    alpha, sigma = process.scales(torch.ones(3))
    assert alpha.tolist() == [0.0] * 3
    assert sigma.tolist() == [1.0] * 3


def test_corrupt_gives_each_frame_its_own_level(process):
    generator = stream(0, "frames")
    x0, noise = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
    t = torch.rand(2, 3, generator=generator)
    x_t = process.corrupt(x0, noise, t)
    alpha, sigma = process.scales(t[1, 2])
    torch.testing.assert_close(x_t[1, 2], alpha * x0[1, 2] + sigma * noise[1, 2])


@pytest.mark.parametrize(
    "process", [Cosine(), DDPM(), DDPM(beta_cosine)], ids=["cosine", "linear", "beta_cosine"]
)
def test_variance_is_preserved(process):
    alpha, sigma = process.scales(torch.linspace(0, 1, 1234, dtype=torch.float64))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("k", "alpha_bar", "snr"),
    [
        (0, 0.9999, 9999.0),
        (100, 0.89514136, 8.53665),
        (250, 0.52142298, 1.08953),
        (500, 0.077796653, 0.0843595),
        (750, 0.0033001585, 0.00331109),
        (999, 4.0358e-5, 4.0360e-5),
    ],
)
def test_ddpm_has_the_published_chain_of_linear_betas(k, alpha_bar, snr):
    t = torch.tensor((k + 1) / 1000, dtype=torch.float64)
    alpha, _ = DDPM().scales(t)
    assert alpha.item() ** 2 == pytest.approx(alpha_bar, rel=2e-5)
    assert DDPM().logsnr(t).exp().item() == pytest.approx(snr, rel=2e-4)


@pytest.mark.parametrize(
    ("k", "alpha_bar"), [(250, 0.84588802), (500, 0.49228504), (750, 0.14317866), (999, 2.4287e-9)]
)
def test_ddpm_has_the_published_chain_of_cosine_betas(k, alpha_bar):
    alpha, _ = DDPM(beta_cosine).scales(torch.tensor((k + 1) / 1000, dtype=torch.float64))
    assert alpha.item() ** 2 == pytest.approx(alpha_bar, rel=1e-4)


def test_ddpm_joins_its_chain_by_equal_factors():
    t = torch.tensor([500, 500.5, 501], dtype=torch.float64) / 1000
    alpha, _ = DDPM().scales(t)
    assert alpha[1].item() == pytest.approx(math.sqrt(alpha[0] * alpha[2]), rel=1e-12)


@pytest.mark.parametrize(
    ("num_steps", "sigmas"),
    [
        (5, {0: 80, 1: 17.52783, 2: 2.515219, 3: 0.1697528, 4: 0.002, 5: 0}),
        (
            18,
            {0: 80, 1: 57.58598, 2: 40.78557, 3: 28.37458, 15: 0.02293452, 16: 0.00752802, 17: 0.002, 18: 0},
        ),
    ],
)
def test_edm_has_the_levels_of_karras(num_steps, sigmas):
    _, sigma = EDM().scales(EDM().grid(num_steps))
    assert len(sigma) == num_steps + 1
    for index, value in sigmas.items():
        assert sigma[index].item() == pytest.approx(value, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("num_steps", [1, 2, 4, 10, 50, 250])
def test_a_grid_falls_from_noise_to_data_in_so_many_steps(process, num_steps):
    grid = process.grid(num_steps)
    assert len(grid) == num_steps + 1
    assert grid[0] == 1
    assert grid[-1] == 0
    assert (grid.diff() < 0).all()


def test_a_grid_without_steps_is_refused(process):
    with pytest.raises(ValueError, match="at least one step"):
        process.grid(0)


def test_linear_and_cosine_are_one_path_up_to_scale():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    alpha, sigma = Linear().scales(t)
    size = torch.sqrt(alpha**2 + sigma**2)
    on_circle = Cosine().scales(Cosine().time(Linear().logsnr(t)))
    torch.testing.assert_close(on_circle, (alpha / size, sigma / size), rtol=0, atol=1e-12)


def test_the_chain_agrees_with_diffusers():
    diffusers = pytest.importorskip("diffusers")
    k = torch.arange(1000)
    x0, noise = torch.full((1000, 1), 2.0), torch.full((1000, 1), -3.0)
    for name, betas in (("linear", DDPM().betas), ("squaredcos_cap_v2", beta_cosine)):
        theirs = diffusers.DDPMScheduler(beta_start=1e-4, beta_end=2e-2, beta_schedule=name)
        ours = DDPM(betas).corrupt(x0, noise, (k + 1).double() / 1000)
        torch.testing.assert_close(ours, theirs.add_noise(x0, noise, k), rtol=0, atol=2e-4)
