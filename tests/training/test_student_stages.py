import pytest
import torch
from torch import nn

from correctors import corrected, trajectory
from ups.data.windows import draw_windows
from ups.models.residual import ResidualSpectrum, Wiener
from ups.models.student import StudentSettings
from ups.streams import stream
from ups.training.residuals import residuals
from ups.training.stages import Stage, gradient_reach
from ups.training.student_stages import Distill
from ups.types import line


class Exact(nn.Module):
    """The exact denoiser of Gaussian residuals, where a corrector has its network."""

    def __init__(self, wiener):
        super().__init__()
        self.wiener, self.process = wiener, wiener.process

    def given(self, *condition):
        return self.wiener


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
    model, data = corrected(num_steps=16), trajectory(64)
    model.correction.spectrum = ResidualSpectrum(
        torch.full((17, 1), 0.25), line(32)
    )  # white, of deviation 1/2
    student = StudentSettings(teacher_steps=16).build(model)
    model.correction.denoiser = Exact(Wiener(model.correction.spectrum, model.correction.denoiser.process))
    stage = Distill("student", student, model)
    optimizer = torch.optim.Adam(student.correction.parameters(), lr=3e-3)
    for update in range(150):
        generator = stream(0, "update", update)
        loss = stage.loss(draw_windows(data, 32, 2, generator), generator)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given, _ = residuals(model.emulator, data.window(0, 2), 0)
    teacher_std = model.correction.draw(given, stream(0, "draw")).std()
    student_std = student.correction.draw(given, stream(0, "draw")).std()
    assert (student_std / teacher_std).item() == pytest.approx(1, abs=0.1)
