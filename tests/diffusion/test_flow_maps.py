"""With Gaussian data every flow map is linear, so its final standard deviation is known without sampling."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from ups.diffusion.denoiser import Denoiser
from ups.diffusion.exact import GaussianDenoiser, GaussianFlow
from ups.diffusion.flow_maps import Jump, ancestral, ddim, dpmpp_2m, heun, move, sample
from ups.diffusion.parameterization import v
from ups.diffusion.process import DDPM, EDM, Cosine, Linear, beta_cosine
from ups.streams import stream

STD = 0.5  # not 1: with unit-variance data even broken samplers look right
PROCESSES = {
    "linear": Linear(),
    "cosine": Cosine(),
    "ddpm_linear": DDPM(),
    "ddpm_cosine": DDPM(beta_cosine),
    "edm": EDM(),
}
NUM_STEPS = [1, 2, 4, 10, 50, 250]
DETERMINISTIC = {"ddim": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m}


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def final_std(flow_map, process, grid, std_start=None):
    """Carry the variance through the flow map, by its gain and the noise that it adds at every step."""
    variance = process.scales(grid[0])[1].item() ** 2 if std_start is None else std_start**2
    for k in range(len(grid) - 1):
        t, s = grid[k : k + 1], grid[k + 1 : k + 2]
        normal = torch.randn(2, 1, generator=stream(0, "step", k), dtype=torch.float64)
        moved = flow_map(stream(0, "step", k))(float64([0.0], [1.0]), t.expand(2), s.expand(2))
        added = moved[0] / normal[0]
        gain = moved[1] - added * normal[1]
        variance = (gain**2 * variance + added**2).item()
    return math.sqrt(variance)


# Independent references, in plain numbers.


def posterior(a, s, std=STD):
    """Return E[x0 | x_t] / x_t and E[noise | x_t] / x_t."""
    return a * std**2 / (a**2 * std**2 + s**2), s / (a**2 * std**2 + s**2)


def ddim_std(levels, std=STD):
    gain = levels[0][1]
    for (a, s), (a2, s2) in pairwise(levels):
        data, noise = posterior(a, s, std)
        gain *= a2 * data + s2 * noise
    return abs(gain)


def heun_std(levels):
    gain = levels[0][1]
    for (a, s), (a2, s2) in pairwise(levels):
        data, noise = posterior(a, s)
        first = (a2 - a) * data + (s2 - s) * noise
        if s2 > 0:
            data2, noise2 = posterior(a2, s2)
            second = (1 + first) * ((a2 - a) * data2 + (s2 - s) * noise2)
            first = (first + second) / 2
        gain *= 1 + first
    return abs(gain)


def dpmpp_2m_std(levels):
    x, data_last, h_last = levels[0][1], 0.0, math.inf
    for (a, s), (a2, s2) in pairwise(levels):
        data = posterior(a, s)[0] * x
        if a == 0 or s2 == 0:
            x, h_last = a2 * data + s2 * posterior(a, s)[1] * x, math.inf
        else:
            h = math.log(a2 / s2) - math.log(a / s)
            r = h_last / h
            mixed = data if math.isinf(r) else (1 + 1 / (2 * r)) * data - 1 / (2 * r) * data_last
            x, h_last = s2 / s * x - a2 * math.expm1(-h) * mixed, h
        data_last = data
    return abs(x)


def ancestral_std(levels):
    variance = levels[0][1] ** 2
    for (a, s), (a2, s2) in pairwise(levels):
        data = posterior(a, s)[0]
        if s2 == 0:
            variance *= (a2 * data) ** 2
            continue
        between = s**2 - (a / a2) ** 2 * s2**2  # variance of x_t given x_s
        precision = 1 / s2**2 + (a / a2) ** 2 / between
        gain = (a2 * data / s2**2 + (a / a2) / between) / precision
        variance = gain**2 * variance + 1 / precision
    return math.sqrt(variance)


REFERENCES = {"ddim": ddim_std, "heun": heun_std, "dpmpp_2m": dpmpp_2m_std, "ancestral": ancestral_std}


def levels_of(process, grid):
    return [tuple(scale.item() for scale in process.scales(t)) for t in grid]


@pytest.mark.parametrize("num_steps", NUM_STEPS)
@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("method", DETERMINISTIC)
def test_a_perfect_denoiser_gives_the_std_of_the_independent_recursion(method, name, num_steps):
    process = PROCESSES[name]
    grid = process.grid(num_steps)
    flow_map = DETERMINISTIC[method](GaussianDenoiser(process, STD))
    ours = sample(flow_map, process.scales(grid[:1])[1][:, None], grid).abs().item()
    expected = REFERENCES[method](levels_of(process, grid))
    # the last steps of the linear path have a first alpha of exactly zero, whence round-off instead of zero
    assert ours == pytest.approx(expected, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("num_steps", NUM_STEPS)
@pytest.mark.parametrize("name", PROCESSES)
def test_ancestral_steps_give_the_std_of_the_independent_recursion(name, num_steps):
    process = PROCESSES[name]
    grid = process.grid(num_steps)
    ours = final_std(partial(ancestral, GaussianDenoiser(process, STD)), process, grid)
    assert ours == pytest.approx(ancestral_std(levels_of(process, grid)), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("method", REFERENCES)
def test_many_steps_give_the_std_of_the_data(method, name):
    process = PROCESSES[name]
    bound = 0.05 if method in ("ddim", "ancestral") else 0.006
    assert abs(REFERENCES[method](levels_of(process, process.grid(250))) / STD - 1) < bound


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("num_steps", NUM_STEPS)
def test_the_exact_flow_map_gives_the_std_of_the_data_in_any_number_of_steps(name, num_steps):
    process = PROCESSES[name]
    grid = process.grid(num_steps)
    alpha, sigma = process.scales(grid[:1])
    start = torch.sqrt((alpha * STD) ** 2 + sigma**2)[:, None]
    assert sample(GaussianFlow(process, STD), start, grid).item() == pytest.approx(STD, rel=1e-12)


# Printed tables.


@pytest.mark.parametrize(
    ("num_steps", "std", "tolerance"),
    [
        (1, 0.0, 1e-9),
        (2, 0.5, 6e-4),
        (4, 0.72, 6e-4),
        (16, 0.923, 6e-4),
        (64, 0.98, 6e-4),
        (1024, 0.9987, 1e-4),
    ],
)
def test_euler_on_the_linear_path_has_the_printed_std(num_steps, std, tolerance):
    ours = sample(ddim(GaussianDenoiser(Linear(), 1.0)), float64([1.0]), Linear().grid(num_steps))
    assert ours.item() == pytest.approx(std, abs=tolerance)


def leading(num_steps):
    """Return the grid k = T - T/K, ..., T/K, 0 of DDPM's usual respacing, and then the data."""
    k = torch.arange(0, 1000, 1000 // num_steps).flip(0)
    return torch.cat([(k + 1).double() / 1000, float64(0.0)])


def chain_std(flow_map, num_steps):
    return final_std(flow_map, DDPM(), leading(num_steps), std_start=1.0) / STD


CHAIN = GaussianDenoiser(DDPM(), STD)


@pytest.mark.parametrize(
    ("num_steps", "deterministic", "small", "large"),
    [(10, 0.748, 0.667, 1.178), (50, 0.945, 0.888, 1.035), (250, 0.989, 0.972, 1.007)],
)
def test_respaced_ddpm_has_the_printed_std(num_steps, deterministic, small, large):
    assert chain_std(lambda _: ddim(CHAIN), num_steps) == pytest.approx(deterministic, abs=6e-4)
    assert chain_std(partial(ancestral, CHAIN), num_steps) == pytest.approx(small, abs=6e-4)
    assert chain_std(partial(ancestral, CHAIN, interpolation=1.0), num_steps) == pytest.approx(
        large, abs=6e-4
    )


@pytest.mark.parametrize(("num_steps", "ratio"), [(4, 4.364), (8, 1.394), (18, 1.05525), (35, 1.01295)])
def test_heun_on_edm_has_the_printed_std(num_steps, ratio):
    ours = sample(heun(GaussianDenoiser(EDM(), STD)), float64([80.0]), EDM().grid(num_steps))
    assert ours.item() / STD == pytest.approx(ratio, rel=2e-4)


# Famous bugs, planted. Each must fail the oracle that the right code passes.


def strided_with_original_betas(generator):
    """Take every 20th step of the chain, but with the coefficients of a single step."""
    right = ancestral(CHAIN, generator)
    return lambda x_t, t, s: right(x_t, t, t - 1 / 1000)


@pytest.mark.parametrize(("num_steps", "ratio"), [(10, 1.973), (50, 1.870), (250, 1.495)])
def test_strided_ddpm_with_original_betas_is_caught(num_steps, ratio):
    wrong = chain_std(strided_with_original_betas, num_steps)
    assert wrong == pytest.approx(ratio, abs=6e-4)
    with pytest.raises(AssertionError):
        assert wrong == pytest.approx(chain_std(partial(ancestral, CHAIN), num_steps), abs=6e-4)


def fresh_noise(estimate, generator):
    """Denoise, then noise again with new numbers: right for a consistency map, wrong for a posterior mean."""

    def flow_map(x_t, t, s):
        noise = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype)
        return Linear().corrupt(estimate(x_t, t), noise, s)

    return flow_map


@pytest.mark.parametrize(
    ("num_steps", "std"), [(2, 0.5), (4, 0.557), (16, 0.656), (64, 0.690), (1024, 0.7048)]
)
def test_fresh_noise_euler_is_caught(num_steps, std):
    grid, denoiser = Linear().grid(num_steps), GaussianDenoiser(Linear(), 1.0)
    wrong = final_std(partial(fresh_noise, denoiser), Linear(), grid)
    assert wrong == pytest.approx(std, abs=6e-4)
    if num_steps > 2:
        with pytest.raises(AssertionError):
            assert wrong == pytest.approx(ddim_std(levels_of(Linear(), grid), std=1.0), abs=6e-4)


@pytest.mark.parametrize("num_steps", [1, 2, 4, 16])
def test_fresh_noise_is_right_for_a_consistency_map(num_steps):
    exact = GaussianFlow(Linear(), STD).consistency
    assert final_std(partial(fresh_noise, exact), Linear(), Linear().grid(num_steps)) == pytest.approx(STD)


@pytest.mark.parametrize(("num_steps", "std"), [(4, 0.885), (16, 1.831), (64, 3.243)])
def test_frozen_noise_euler_is_caught(num_steps, std):
    denoiser, noise = GaussianDenoiser(Linear(), 1.0), float64([1.0])
    wrong = sample(
        lambda x, t, s: Linear().corrupt(denoiser(x, t), noise, s), noise, Linear().grid(num_steps)
    )
    assert wrong.item() == pytest.approx(std, abs=6e-4)


# Orders of convergence.


@pytest.mark.parametrize(("method", "order"), [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
@pytest.mark.parametrize("name", ["linear", "cosine", "edm"])
def test_the_order_of_convergence_is_the_method_s(method, order, name):
    process = PROCESSES[name]
    high, low = process.time(float64(-3.0, 4.0))
    x = float64([1.0])
    exact = GaussianFlow(process, STD)(x, high[None], low[None])
    errors = []
    for num_steps in (64, 128):
        grid = torch.lerp(high, low, torch.linspace(0, 1, num_steps + 1, dtype=torch.float64))
        flow_map = DETERMINISTIC[method](GaussianDenoiser(process, STD))
        errors.append((sample(flow_map, x, grid) - exact).abs().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.12)


# What every flow map keeps.


def build(method, denoiser):
    if method == "ancestral":
        return ancestral(denoiser, stream(0, "ancestral"))
    return DETERMINISTIC[method](denoiser)


class Counting(GaussianDenoiser):
    calls: list

    def __call__(self, x_t, t):
        self.__dict__.setdefault("calls", []).append(t)
        return super().__call__(x_t, t)


@pytest.mark.parametrize(
    ("method", "num_calls"), [("ddim", 8), ("ancestral", 8), ("dpmpp_2m", 8), ("heun", 15)]
)
def test_no_network_call_is_hidden(method, num_calls):
    denoiser = Counting(Cosine(), STD)
    sample(build(method, denoiser), torch.ones(2, 3), Cosine().grid(8))
    assert len(denoiser.calls) == num_calls


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("method", REFERENCES)
def test_a_state_that_does_not_move_stays(method, name):
    process = PROCESSES[name]
    x = torch.randn(4, 3, generator=stream(0, "still"), dtype=torch.float64)
    t = float64(0.0, 0.3, 0.7, 1.0)
    moved = build(method, GaussianDenoiser(process, STD))(x, t, t)
    torch.testing.assert_close(moved, x, rtol=1e-13, atol=0)


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_frames_at_different_levels_do_not_touch_each_other(method):
    process, denoiser = Cosine(), GaussianDenoiser(Cosine(), STD)
    noise = torch.randn(2, 3, 5, generator=stream(0, "frames"), dtype=torch.float64)
    own = process.grid(6)
    late = torch.cat([torch.ones(2, dtype=torch.float64), own])  # starts two steps later
    early = torch.cat([own, torch.zeros(2, dtype=torch.float64)])
    never = torch.full_like(late, 0.1)  # context, kept at a little noise
    together = sample(DETERMINISTIC[method](denoiser), noise, torch.stack([early, late, never], dim=1))
    alone = sample(DETERMINISTIC[method](denoiser), noise, own)
    torch.testing.assert_close(together[:, :2], alone[:, :2], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(together[:, 2], noise[:, 2], rtol=1e-12, atol=0)


def test_sampling_is_a_function_of_the_generator():
    denoiser, noise, grid = GaussianDenoiser(Cosine(), STD), torch.ones(2, 3), Cosine().grid(4)
    first, again, other = (sample(ancestral(denoiser, stream(seed, "z")), noise, grid) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_map_with_memory_starts_afresh_with_the_next_sample():
    flow_map = dpmpp_2m(GaussianDenoiser(Cosine(), STD))
    first, again = (sample(flow_map, float64([1.0]), Cosine().grid(5)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("grid", [[1.0], [1.0, 0.2, 0.4, 0.0]])
def test_a_grid_that_does_not_fall_is_refused(grid):
    with pytest.raises(ValueError, match="must fall"):
        sample(ddim(CHAIN), torch.ones(1, 1), torch.tensor(grid))


def test_single_precision_stays_single_and_close_to_double():
    denoiser, noise = GaussianDenoiser(DDPM(), STD), torch.linspace(-2, 2, 9)[:, None]
    for method in DETERMINISTIC:
        single = sample(build(method, denoiser), noise, DDPM().grid(50))
        double = sample(build(method, denoiser), noise.double(), DDPM().grid(50))
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


def test_moving_in_two_hops_with_one_estimate_is_moving_in_one():
    x, x0 = float64([0.3, -1.0]), float64([0.7, 0.2])
    t, m, s = float64(0.9), float64(0.5), float64(0.2)
    two = move(DDPM(), move(DDPM(), x, x0, t, m), x0, m, s)
    torch.testing.assert_close(two, move(DDPM(), x, x0, t, s), rtol=1e-12, atol=0)


def test_a_jump_is_the_identity_when_it_does_not_move_and_its_estimate_when_it_reaches_the_data():
    class Net(nn.Module):
        def forward(self, x, logsnr, logsnr_end):
            return torch.sin(3 * x) + logsnr[:, None] - logsnr_end[:, None]

    jump = Jump(Denoiser(Net(), Linear(), v()))
    x, t = torch.randn(5, 2, generator=stream(0, "x")), torch.linspace(0.1, 1, 5)
    assert torch.equal(jump(x, t, t), x)
    torch.testing.assert_close(jump(x, t, 0 * t), jump.x0(x, t, 0 * t))


@pytest.mark.parametrize("num_steps", [10, 50, 250])
def test_ddim_and_ddpm_agree_with_diffusers(num_steps):
    diffusers = pytest.importorskip("diffusers")
    settings = {"beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear", "clip_sample": False}
    x = torch.linspace(-2, 2, 5)[:, None]
    for theirs, ours in (
        (diffusers.DDIMScheduler(**settings, prediction_type="sample", set_alpha_to_one=True), ddim(CHAIN)),
        (diffusers.DDPMScheduler(**settings, prediction_type="sample"), None),
    ):
        theirs.set_timesteps(num_steps)
        state, grid = x, leading(num_steps)
        for index, k in enumerate(theirs.timesteps):
            t, s = (grid[index + shift].float().expand(5) for shift in (0, 1))
            estimate = CHAIN(state, t)
            generator = torch.Generator().manual_seed(index)
            step = ours or ancestral(CHAIN, torch.Generator().manual_seed(index))
            expected = theirs.step(estimate, int(k), state, generator=generator).prev_sample
            torch.testing.assert_close(step(state, t, s), expected, rtol=0, atol=1e-4)
            state = expected
