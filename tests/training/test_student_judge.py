import copy

import pytest
import torch

from correctors import corrected, disturb, trajectory
from ups.models.student import StudentSettings
from ups.streams import stream
from ups.training.student_judge import explain_student, judge_student


@pytest.fixture(scope="module")
def teacher():
    return corrected()


def student_of(teacher, steps=None):
    num_steps = steps or teacher.correction.settings.num_steps
    return StudentSettings(num_steps=num_steps).build(teacher)


def judged(student, teacher):
    return judge_student(student, teacher, trajectory(24, 6), stream(0, "judge"))


def test_a_student_that_is_its_teacher_has_its_spread_its_spectrum_and_its_score(teacher):
    top = corrected(sampler="ddim")
    found = judged(student_of(top), top)
    assert found["spread of the teacher's"] == pytest.approx(1, abs=0.1)
    assert found["CRPS of the teacher's"] == pytest.approx(1, abs=0.05)
    assert found["CRPS of the teacher's, low"] < 1 < found["CRPS of the teacher's, high"]
    assert "lost" not in explain_student(found)[0]


def test_a_student_that_draws_nothing_is_said_to_have_lost_what_it_was_taught(teacher):
    student = student_of(teacher)
    student.correction.std.mul_(0.01)
    found = judged(student, teacher)
    assert found["spread of the teacher's"] < 0.02
    assert "it has lost what it was taught" in explain_student(found)[0]


def test_a_student_that_draws_something_else_is_told_from_its_teacher(teacher):
    student = student_of(teacher)
    student.correction.std.mul_(6.0)
    found = judged(student, teacher)
    assert found["spread of the teacher's"] > 4
    assert found["CRPS of the teacher's, low"] > 1.1
    assert "lost" in explain_student(found)[0]


def test_a_teacher_that_has_learned_nothing_is_named():
    """Whatever loss its student ends with: there was nothing to be taught."""
    top = corrected()
    top.correction.spectrum.power.mul_(1.0)
    wild = copy.deepcopy(top)
    disturb(wild.correction.denoiser, 0.5)
    found = judged(student_of(wild), wild)
    assert found["teacher's CRPS of colored noise's, high"] >= 1
    assert "there was nothing to be taught" in explain_student(found)[1]


def test_the_judge_repeats_and_changes_nothing(teacher):
    before = copy.deepcopy(teacher.state_dict())
    assert judged(student_of(teacher), teacher) == judged(student_of(teacher), teacher)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
