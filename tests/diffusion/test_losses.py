import pytest
import torch
from torch import nn

from ups.diffusion import losses, parameterization, weighting
from ups.diffusion.denoiser import Denoiser, coefficients
from ups.diffusion.exact import GaussianDenoiser, GaussianFlow
from ups.diffusion.flow_maps import Jump, ddim, move
from ups.diffusion.process import DDPM, EDM, Cosine, Linear, beta_cosine
from ups.diffusion.times import dyadic, uniform
from ups.streams import stream

PROCESSES = {
    "linear": Linear(),
    "cosine": Cosine(),
    "ddpm": DDPM(),
    "ddpm_cosine": DDPM(beta_cosine),
    "edm": EDM(),
}
FACTORIES = ["x0", "eps", "v", "flow", "edm"]
X0, NOISE = (torch.randn(40, 3, generator=stream(0, name), dtype=torch.float64) for name in ("x0", "noise"))
T = uniform()((40,), stream(0, "t"))
NEVER = torch.zeros(40, dtype=torch.bool)


class Wavy(nn.Module):
    def __init__(self):
        super().__init__()
        self.phase = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, x, logsnr, end=None):
        end = 0 * logsnr if end is None else end
        return torch.sin(2 * x + self.phase + (logsnr - end / 2)[:, None] / 3)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("factory", FACTORIES)
def test_the_loss_is_c_out_squared_times_the_loss_of_the_network(factory, name):
    process = PROCESSES[name]
    denoiser = Denoiser(Wavy(), process, getattr(parameterization, factory)(0.7))
    x_t = process.corrupt(X0, NOISE, T)
    c_in, c_skip, c_out = coefficients(denoiser, x_t, T)
    output = denoiser.network(c_in * x_t, process.logsnr(T))
    target = (X0 - c_skip * x_t) / c_out
    expected = (c_out**2 * (output - target) ** 2).mean(1)
    ours = losses.denoising(denoiser, X0, NOISE, T, weighting.uniform())
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_snr_weight_is_the_plain_loss_of_the_noise(name):
    process = PROCESSES[name]
    denoiser = Denoiser(Wavy(), process, parameterization.v())
    x_t = process.corrupt(X0, NOISE, T)
    alpha, sigma = process.scales_for(T, x_t)
    implied = (x_t - alpha * denoiser(x_t, T)) / sigma
    ours = losses.denoising(denoiser, X0, NOISE, T, weighting.snr())
    torch.testing.assert_close(ours, ((implied - NOISE) ** 2).mean(1), rtol=1e-8, atol=1e-12)


def test_no_denoiser_beats_the_exact_one_and_its_loss_is_the_posterior_variance():
    x0, noise = (
        torch.randn(20000, 1, generator=stream(1, name), dtype=torch.float64) for name in ("x0", "noise")
    )
    x0 = 0.5 * x0
    t = torch.full((20000,), 0.6, dtype=torch.float64)
    exact = losses.denoising(GaussianDenoiser(Linear(), 0.5), x0, noise, t, weighting.uniform()).mean()
    assert exact.item() == pytest.approx(1 / (1 / 0.25 + 0.4**2 / 0.6**2), rel=0.03)
    for std in (0.4, 0.6):
        assert (
            losses.denoising(GaussianDenoiser(Linear(), std), x0, noise, t, weighting.uniform()).mean()
            > exact
        )


def test_each_frame_is_weighted_by_its_own_level():
    x0, noise = X0.reshape(10, 4, 3), NOISE.reshape(10, 4, 3)
    denoiser = GaussianDenoiser(Linear(), 0.5)
    per_frame = losses.denoising(denoiser, X0, NOISE, T, weighting.ramp()).reshape(10, 4).mean(1)
    together = losses.denoising(denoiser, x0, noise, T.reshape(10, 4), weighting.ramp())
    torch.testing.assert_close(together, per_frame)


def test_the_closed_form_is_the_velocity_form():
    """Equation 7 of Dreamer 4, as printed, with its clean share = 1 - t and d = t - s."""
    jump = Jump(Denoiser(Wavy(), Linear(), parameterization.x0()))
    target = Jump(Denoiser(Wavy(), Linear(), parameterization.flow()))
    t = 0.05 + 0.95 * T
    s = t * uniform()((40,), stream(0, "s"))
    d, m = (t - s)[:, None], (t + s) / 2
    z = Linear().corrupt(X0, NOISE, t)
    first = (target.x0(z, t, m) - z) / t[:, None]
    middle = z + first * d / 2
    second = (target.x0(middle, m, s) - middle) / (t[:, None] - d / 2)
    velocity = (jump.x0(z, t, s) - z) / t[:, None]
    expected = (t[:, None] ** 2 * (velocity - (first + second) / 2) ** 2).mean(1)
    ours = losses.shortcut(jump, target, X0, NOISE, t, s, NEVER, weighting.uniform())
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", PROCESSES)
def test_two_half_hops_are_one_hop_with_their_closed_form(name):
    process = PROCESSES[name]
    jump = Jump(Denoiser(Wavy(), process, parameterization.v()))
    t, s = 0.2 + 0.8 * T, 0.1 * T
    x_t, m = process.corrupt(X0, NOISE, t), (t + s) / 2
    landed = move(process, x_t, losses.two_half_hops(jump, x_t, t, s), t, s)
    torch.testing.assert_close(landed, jump(jump(x_t, t, m), m, s), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_exact_shortcut_is_a_fixed_point(name):
    flow = GaussianFlow(PROCESSES[name], 0.5)
    hops = dyadic(num_levels=5, smallest_share=0.2)((40,), stream(0, "hops"))
    loss = losses.shortcut(flow, flow, X0, NOISE, hops.t, hops.s, NEVER, weighting.uniform())
    assert loss.max() < 1e-18


def test_the_smallest_hops_learn_the_data():
    jump = Jump(Denoiser(Wavy(), Linear(), parameterization.x0()))
    loss = losses.shortcut(jump, jump, X0, NOISE, T, T / 2, ~NEVER, weighting.ramp())
    denoiser = jump.denoiser.given(Linear().logsnr(T / 2))
    torch.testing.assert_close(loss, losses.denoising(denoiser, X0, NOISE, T, weighting.ramp()))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_exact_consistency_map_is_a_fixed_point(name):
    flow = GaussianFlow(PROCESSES[name], 0.5)
    x_t = PROCESSES[name].corrupt(X0, NOISE, T)
    loss = losses.consistency(flow, flow, flow, x_t, T, T / 2, weighting.uniform())
    assert loss.max() < 1e-24


class PosteriorMean(GaussianFlow):
    """A student that answers every jump with the posterior mean, as one trained by regression alone does."""

    def x0(self, x_t, t, s):
        return GaussianDenoiser(self.process, self.std)(x_t, t)

    def __call__(self, x_t, t, s):
        return ddim(GaussianDenoiser(self.process, self.std))(x_t, t, s)


def test_a_posterior_mean_is_no_fixed_point():
    flow, student = GaussianFlow(Linear(), 0.5), PosteriorMean(Linear(), 0.5)
    x_t = Linear().corrupt(X0, NOISE, T)
    assert losses.consistency(student, student, flow, x_t, T, T / 2, weighting.uniform()).mean() > 1e-2
    assert losses.shortcut(student, student, X0, NOISE, T, T / 2, NEVER, weighting.uniform()).mean() > 1e-4


def test_only_the_student_learns():
    student, target = (Jump(Denoiser(Wavy(), Linear(), parameterization.x0())) for _ in range(2))
    teacher = Denoiser(Wavy(), Linear(), parameterization.x0())
    x_t = Linear().corrupt(X0, NOISE, T)
    loss = losses.consistency(student, target, ddim(teacher), x_t, T, T / 2, weighting.uniform())
    loss = loss + losses.shortcut(student, target, X0, NOISE, T, T / 2, NEVER, weighting.uniform())
    loss.sum().backward()
    assert student.denoiser.network.phase.grad.abs() > 0
    assert target.denoiser.network.phase.grad is None
    assert teacher.network.phase.grad is None


def test_the_consistency_of_neighbours_is_small_however_bad_the_student():
    student, flow = PosteriorMean(Linear(), 0.5), GaussianFlow(Linear(), 0.5)
    x_t = Linear().corrupt(X0, NOISE, T)
    near, nearer = (
        losses.consistency(student, student, flow, x_t, T, T * (1 - step), weighting.uniform()).mean()
        for step in (0.02, 0.01)
    )
    assert nearer < 1e-4
    assert (near / nearer).item() == pytest.approx(4, rel=0.05)
