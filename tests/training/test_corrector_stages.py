from dataclasses import replace

import pytest
import torch
from torch import nn

from correctors import corrected, spectrum, trajectory
from ups.models.corrector import Wiener
from ups.models.residual import ResidualSpectrum
from ups.models.student import StudentSettings
from ups.streams import stream
from ups.training.corrector_stages import Correct, Distill, explain, judge, residual_spectrum, residuals
from ups.training.stages import Stage, gradient_reach
from ups.types import UserError


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


def test_residuals_are_the_truth_less_the_forecast():
    model, data = forecast_errors()
    given, found = residuals(model, data.window(0, 2), 0)
    state = model.encode(data.values[:, :1], data.params)
    forecast, _ = model.emulator.advance(state)
    torch.testing.assert_close(found, model.encode(data.values[:, 1:2], data.params)[0] - forecast)
    torch.testing.assert_close(given[0], torch.cat([state[0], forecast], -1))
    torch.testing.assert_close(
        found, model.correction.spectrum.sample(40, stream(0, "error", 0)), rtol=1e-3, atol=1e-3
    )


def test_after_a_rollout_the_residual_is_that_of_the_drifted_state():
    model, data = forecast_errors()
    (seen, _), found = residuals(model, data.window(0, 3), 1)
    state = model.emulator.advance(model.encode(data.values[:, :1], data.params))
    torch.testing.assert_close(seen[..., :1], state[0])
    truth, _ = model.encode(data.values[:, 2:3], data.params)
    torch.testing.assert_close(found, truth - model.emulator.advance(state)[0])


def test_the_spectrum_of_held_out_residuals_is_that_of_the_errors():
    model, data = forecast_errors(num=300)
    found = residual_spectrum(model.emulator, data, 0)
    ratio = found.power / spectrum(0.5).power
    assert (ratio - 1).abs().max() < 0.2
    with pytest.raises(UserError, match="rolled_steps"):
        residual_spectrum(model.emulator, data, 3)


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


def test_a_corrector_that_predicts_nothing_is_shown_to_be_worse_than_coloured_noise():
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
    words = " ".join(explain(good | sizes))
    assert "corrected by 30%" in words
    assert "40% below" in words
    bad = " ".join(explain(good | sizes | {"mean skill": 1.1, "structure learned": 1.2}))
    assert "failed" in bad
    assert "no better than coloured noise" in bad
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


@pytest.mark.parametrize("method", ["trajectory", "consistency", "shortcut"])
def test_distillation_reaches_every_parameter_of_the_student(method):
    teacher = corrected()
    student = StudentSettings(method=method, teacher_steps=4).build(teacher)
    stage = Distill("student", student, teacher)
    assert isinstance(stage, Stage)
    gradient_reach(stage, trajectory(32).window(0, 2), stream(0, "reach"))


def test_a_student_that_jumps_where_its_teacher_walks_has_no_loss():
    """With one hop the walk and the jump are the same, so an untrained student is perfect; with eight it is not."""
    teacher = corrected()
    data = trajectory(16).window(0, 2)
    losses = []
    for teacher_steps in (1, 8):
        student = StudentSettings(method="trajectory", teacher_steps=teacher_steps).build(teacher)
        loss, parts = Distill("student", student, teacher).loss(data, stream(0, "loss"))
        losses.append((loss / parts["trivial"]).mean().item())
    assert losses[0] < 1e-8
    assert losses[1] > 1e-6


def test_gaussian_residuals_are_distilled_into_one_step_of_the_right_size():
    """Sixteen hops of the exact denoiser have a known standard deviation; one step of the student learns it."""
    from ups.data.windows import draw_windows

    model, data = forecast_errors(num=64)
    model.correction.spectrum = ResidualSpectrum(torch.full((17, 1), 0.25), 32)  # white, of deviation 1/2
    process = model.correction.denoiser.process
    student = StudentSettings(teacher_steps=16).build(model)
    model.correction.denoiser = Planted(process, Wiener(model.correction.spectrum, process))
    stage = Distill("student", student, model)
    optimizer = torch.optim.Adam(student.correction.parameters(), lr=3e-3)
    for update in range(150):
        generator = stream(0, "update", update)
        loss = stage.loss(draw_windows(data, 32, 2, generator), generator)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given, _ = residuals(model, data.window(0, 2), 0)
    model.correction.num_steps = 16
    teacher_std = model.correction.draw(given, stream(0, "draw")).std()
    student_std = student.correction.draw(given, stream(0, "draw")).std()
    assert (student_std / teacher_std).item() == pytest.approx(1, abs=0.1)
