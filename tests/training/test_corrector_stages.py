from dataclasses import replace

import pytest
import torch
from torch import nn

from correctors import corrected, spectrum, trajectory
from ups.models.residual import Wiener
from ups.streams import stream
from ups.training.corrector_stages import Correct, explain, judge
from ups.training.stages import Stage, gradient_reach


class Planted(nn.Module):
    """A denoiser of our choice where the corrector has its own."""

    def __init__(self, process, posterior):
        super().__init__()
        self.process, self.posterior = process, posterior

    def given(self, *condition):
        return self.posterior


class Zero:
    def __init__(self, process):
        self.process = process

    def __call__(self, x_t, t):
        return torch.zeros_like(x_t)


def forecast_errors(num=40, size=0.5):
    """Trajectories on which the operator errs by Gaussian noise of a known spectrum at every step."""
    model = corrected()
    model.correction.spectrum = spectrum(size)
    data = trajectory(num)
    tokens, params = model.encode(data.values[:, :1], data.params)
    frames = [model.decode((tokens, params))]
    for step in range(3):
        tokens, _ = model.emulator.advance((tokens, params))
        tokens = tokens + model.correction.spectrum.sample(num, stream(0, "error", step))
        frames.append(model.decode((tokens, params)))
    return model, replace(data, values=torch.stack(frames, 1))


@pytest.mark.parametrize("rolled", [0, 2])
@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_the_loss_reaches_every_parameter_of_the_corrector(rolled, sampler):
    stage = Correct("corrector", corrected(rolled_steps=rolled, sampler=sampler))
    assert isinstance(stage, Stage)
    assert stage.window(0.0) == 2 + rolled
    gradient_reach(stage, trajectory(8).window(0, 2 + rolled), stream(0, "reach"))


def test_the_linear_denoiser_is_the_trivial_predictor_and_learns_no_structure():
    model, data = forecast_errors(num=64)
    correction = model.correction
    correction.denoiser = Planted(
        correction.denoiser.process, Wiener(correction.spectrum, correction.denoiser.process)
    )
    stage = Correct("corrector", model)
    loss, parts = stage.loss(data.window(0, 2), stream(0, "loss"))
    torch.testing.assert_close(loss, parts["trivial"])
    found = judge(stage, data, data, stream(0, "judge"))
    assert found["structure learned"] == pytest.approx(1)
    assert found["mean skill"] == pytest.approx(1, abs=0.02)
    assert found["variance ratio"] == pytest.approx(1)


def test_a_corrector_that_predicts_nothing_is_shown_to_be_worse_than_colored_noise():
    model, data = forecast_errors(num=64)
    model.correction.denoiser = Planted(
        model.correction.denoiser.process, Zero(model.correction.denoiser.process)
    )
    found = judge(Correct("corrector", model), data, data, stream(0, "judge"))
    assert found["mean skill"] == pytest.approx(1)
    assert found["structure learned"] > 2


def test_a_verdict_names_failure_noise_and_gain():
    good = {"mean skill": 0.7, "structure learned": 0.6, "variance ratio": 0.9}
    sizes = {"residual": 0.2, "residual in training": 0.19}
    sizes |= {"power of the draws": 0.97, "worst mode of the draws": 0.08}
    words = " ".join(explain(good | sizes))
    assert "corrected by 30%" in words
    assert "0.97 of the residuals' power, 8% off at the worst mode" in words
    assert "40% below" in words
    bad = " ".join(explain(good | sizes | {"mean skill": 1.1, "structure learned": 1.2}))
    assert "failed" in bad
    assert "no better than colored noise" in bad
    assert "no fault" in " ".join(explain(good | sizes | {"mean skill": 1.0}))


def test_a_biased_corrector_fails_the_mean_skill():
    model, data = forecast_errors(num=64)
    process = model.correction.denoiser.process

    class Biased(Zero):
        def __call__(self, x_t, t):
            return torch.full_like(x_t, 0.3)

    model.correction.denoiser = Planted(process, Biased(process))
    assert judge(Correct("corrector", model), data, data, stream(0, "judge"))["mean skill"] > 1.05


def test_a_predictable_residual_shows_in_the_mean_skill_and_its_levels_are_diagnosed():
    model, data = forecast_errors(num=64)
    stage = Correct("corrector", model)
    _, x0 = stage._standardized(data.window(0, 2), 0)
    process = model.correction.denoiser.process

    class Oracle(Zero):
        def __call__(self, x_t, t):
            return 0.5 * x0

    model.correction.denoiser = Planted(process, Oracle(process))
    found = stage.diagnose(data.window(0, 2), stream(0, "diagnose"))
    assert found["mean skill"] == pytest.approx(0.25, abs=1e-3)
    assert found["structure at logSNR -4"] < 0.5
    assert sum(name.startswith("structure") for name in found) == 5
