import pytest
import torch

from ups.diffusion.flow_maps import ddim
from ups.images import sampler_oracle
from ups.images.sampler_oracle import ask, require_right_samplers
from ups.images.sampling import SAMPLERS
from ups.models.noise import Chain, CosinePath, LinearPath
from ups.types import UserError

PROCESSES = [LinearPath(), CosinePath(), Chain(), Chain(betas="cosine")]
LINEAR = Chain().build()


def strided(denoiser, generator):  # few steps, each with the coefficients of one of a thousand
    process = denoiser.process

    def flow_map(x_t, t, s):
        before = (t - 1 / process.num_steps).clamp(min=0)
        alpha_t, sigma_t = process.scales_for(t, x_t)
        alpha_s, sigma_s = process.scales_for(before, x_t)
        x0 = denoiser(x_t, t)
        share, ratio = alpha_t / alpha_s, sigma_s / sigma_t
        mean = alpha_s * x0 + share * ratio**2 * (x_t - alpha_t * x0)
        std = sigma_s * (1 - (share * ratio) ** 2).sqrt()
        return mean + std * torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype) * (s > 0)[:, None]

    return lambda x_t, t, s: flow_map(x_t[:, None], t, s)[:, 0]


def implied_with_fresh_noise(denoiser, generator):  # its variance goes to half of the true one

    def flow_map(x_t, t, s):
        alpha, sigma = denoiser.process.scales_for(s, x_t)
        fresh = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype)
        return alpha * denoiser(x_t, t) + sigma * fresh

    return flow_map


def shifted(denoiser, generator):
    return lambda x_t, t, s: ddim(denoiser)(x_t, t, s) + 0.1 / 50


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_every_sampler_of_the_bench_passes_from_few_steps_to_many(process):
    answers = require_right_samplers(process.build(), SAMPLERS, (5, 50))
    assert len(answers) == 2 * len(SAMPLERS)


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_the_error_of_a_right_sampler_falls_at_first_order(sampler):
    few, many = (ask(LINEAR, sampler, num, SAMPLERS[sampler], num_samples=4000) for num in (20, 200))
    assert 4 < (1 - few.std_ratio) / (1 - many.std_ratio) < 12


def test_a_single_step_gives_the_mean_of_the_data_and_is_refused():
    answer = ask(LinearPath().build(), "ddim", 1, SAMPLERS["ddim"])
    assert answer.std_ratio == pytest.approx(0, abs=1e-9)
    assert "too few steps" in answer.fault


@pytest.mark.parametrize("num_steps", [10, 50, 250])
def test_coefficients_that_are_not_respaced_are_caught(num_steps):
    answer = ask(LINEAR, "strided", num_steps, strided)
    assert answer.std_ratio > 1.4
    assert "spread" in answer.fault


def test_with_all_thousand_steps_the_same_code_is_right():
    assert ask(LINEAR, "strided", 1000, strided, num_samples=500).fault is None


def test_fresh_noise_at_every_step_is_caught():
    answer = ask(LinearPath().build(), "fresh", 200, implied_with_fresh_noise)
    assert answer.std_ratio == pytest.approx(0.5**0.5, abs=0.02)
    assert answer.fault


def test_a_shifted_mean_is_caught():
    assert "mean" in ask(LINEAR, "shifted", 50, shifted).fault


def test_a_wrong_sampler_is_refused_by_name_steps_and_reason(monkeypatch):
    monkeypatch.setitem(sampler_oracle.SAMPLERS, "ddim", strided)
    with pytest.raises(
        UserError, match=r"refused.*ddim with 50 steps: the spread of its samples is 1\.\d+ times"
    ):
        require_right_samplers(LINEAR, ["heun", "ddim"], (50,))


def test_of_many_wrong_samplers_the_first_is_explained_and_the_others_are_named():
    with pytest.raises(UserError) as refused:
        require_right_samplers(LINEAR, ["ddim", "heun"], (1, 2))
    said = str(refused.value)
    assert said.count("the spread of its samples") == 1
    assert said.endswith("; wrong too: ddim with 2 steps, heun with 1 steps, heun with 2 steps")
