import pytest
import torch
from torch import nn

from ups.diffusion.denoiser import Denoiser, LogSNREmbedding, coefficients
from ups.diffusion.flow_maps import ddim, sample
from ups.diffusion.parameterization import edm, eps, flow, v, x0
from ups.diffusion.process import DDPM, EDM, Cosine, Linear, beta_cosine
from ups.streams import stream

PROCESSES = [Linear(), Cosine(), DDPM(), DDPM(beta_cosine), EDM()]
IDS = ["linear", "cosine", "ddpm_linear", "ddpm_cosine", "edm"]


class Wavy(nn.Module):
    """Any smooth function of what it sees, so that nothing holds by luck."""

    def forward(self, x, logsnr, shift=0.0):
        return torch.sin(2 * x + logsnr.reshape(logsnr.shape + (1,) * (x.ndim - logsnr.ndim)) / 3) + shift


@pytest.mark.parametrize("parameterization", [x0, eps, v, flow, edm])
@pytest.mark.parametrize("process", PROCESSES[1:], ids=IDS[1:])
def test_swapping_the_process_at_equal_logsnr_leaves_the_estimate_unchanged(process, parameterization):
    logsnr = torch.linspace(-6, 6, 13, dtype=torch.float64)
    clean = torch.linspace(-2, 2, 26, dtype=torch.float64).reshape(13, 2)
    noise = torch.randn(13, 2, generator=stream(0, "swap"), dtype=torch.float64)
    estimates = []
    for each in (Linear(), process):
        t = each.time(logsnr)
        estimates.append(Denoiser(Wavy(), each, parameterization(0.5))(each.corrupt(clean, noise, t), t))
    torch.testing.assert_close(estimates[1], estimates[0], rtol=1e-9, atol=1e-9)


def test_the_network_sees_logsnr_and_an_input_of_unit_variance():
    seen = {}

    class Spy(nn.Module):
        def forward(self, x, logsnr):
            seen.update(x=x, logsnr=logsnr)
            return torch.zeros_like(x)

    x_t, t = torch.full((2, 3, 4), 7.0), torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    Denoiser(Spy(), EDM(), v(0.5))(x_t, t)
    torch.testing.assert_close(seen["logsnr"], EDM().logsnr(t))
    _, sigma = EDM().scales(t)
    torch.testing.assert_close(seen["x"], x_t / torch.sqrt(0.25 + sigma**2)[..., None])


@pytest.mark.parametrize("parameterization", [x0, eps, v, flow, edm])
@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_the_estimate_is_finite_at_both_ends(process, parameterization):
    estimate = Denoiser(Wavy(), process, parameterization())(torch.ones(2, 3), torch.tensor([0.0, 1.0]))
    assert estimate.isfinite().all()


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_the_estimate_of_clean_data_is_the_data_whatever_the_network_says(process):
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    for parameterization in (eps, v, flow, edm):
        estimate = Denoiser(Wavy(), process, parameterization())(x, torch.zeros(2))
        torch.testing.assert_close(estimate, x, rtol=0, atol=5e-3)


def test_levels_of_frames_that_are_all_equal_are_one_level():
    denoiser = Denoiser(Wavy(), Cosine(), v())
    x = torch.randn(2, 3, 4, generator=stream(0, "frames"))
    t = torch.tensor([0.3, 0.8])
    assert torch.equal(denoiser(x, t[:, None].expand(2, 3)), denoiser(x, t))


def test_a_condition_that_is_given_reaches_the_network():
    denoiser = Denoiser(Wavy(), Linear(), v())
    noise = torch.randn(2, 3, generator=stream(0, "noise"))
    shift = torch.tensor([[0.0], [0.5]])
    states = sample(ddim(denoiser.given(shift)), noise, Linear().grid(4))
    assert torch.equal(states[0], sample(ddim(denoiser), noise, Linear().grid(4))[0])
    assert not torch.equal(states[1], sample(ddim(denoiser), noise, Linear().grid(4))[1])


def test_coefficients_multiply_the_state():
    denoiser = Denoiser(Wavy(), Linear(), flow())
    c_in, c_skip, c_out = coefficients(denoiser, torch.zeros(3, 2, 5), torch.tensor([0.1, 0.5, 0.9]))
    assert c_in.shape == c_skip.shape == c_out.shape == (3, 1, 1)


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
@pytest.mark.parametrize("num_steps", [50, 1000])
def test_neighbouring_times_look_alike(process, num_steps):
    features = LogSNREmbedding(64)(process.logsnr(process.grid(num_steps).float()))
    similarity = torch.cosine_similarity(features[1:], features[:-1], dim=-1)
    assert similarity.min() > 0.9


def test_far_noise_levels_look_different():
    features = LogSNREmbedding(64)(torch.tensor([-8.0, -2.0, 2.0, 8.0]))
    similarity = torch.cosine_similarity(features[:, None], features[None], dim=-1) - torch.eye(4)
    assert similarity.max() < 0.7


def test_the_embedding_is_smooth_in_logsnr():
    logsnr = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    slope = LogSNREmbedding(32)(logsnr).diff(dim=0) / logsnr.diff()[:, None]
    assert slope.abs().max() <= 1.0  # the largest frequency over the scale of tanh
