import pytest
import torch

from correctors import corrected, disturb, trajectory
from ups import checkpoint
from ups.checkpoint import save
from ups.diffusion.flow_maps import ddim, sample
from ups.models.corrector import given_of
from ups.models.student import StudentSettings
from ups.streams import stream


def given(model):
    data = trajectory()
    state = model.encode(data.values[:, :1], data.params)
    return given_of(state, model.emulator.advance(state)[0])


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_untrained_it_is_the_teachers_ddim_with_as_many_hops(num_steps):
    teacher = corrected()
    student = StudentSettings(num_steps=num_steps).build(teacher)
    known, denoiser = given(teacher), teacher.correction.denoiser
    normal = torch.randn(6, 32, 1, generator=stream(0, "noise"))
    expected = sample(ddim(denoiser.given(*known)), normal, teacher.correction.grid(num_steps))
    expected = expected * teacher.correction.spectrum.std
    drawn = student.correction.draw(known, stream(0, "noise"))
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-5)


def test_one_step_costs_one_call():
    student = StudentSettings().build(corrected())
    calls = []
    student.correction.jump.denoiser.network.register_forward_hook(lambda *_: calls.append(1))
    data = trajectory()
    student.advance(student.encode(data.values[:, :1], data.params), stream(0, "draw"))
    assert len(calls) == 1


def test_what_it_learns_leaves_its_teacher_alone():
    teacher = corrected()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    disturb(StudentSettings().build(teacher).correction)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_it_comes_back_from_its_folder_whole(tmp_path):
    student = StudentSettings(num_steps=2).build(corrected())
    disturb(student.correction)
    save(student, tmp_path)
    again = checkpoint.load(tmp_path)
    data = trajectory()
    state = student.encode(data.values[:, :1], data.params)
    one, two = (each.advance(state, stream(0, "draw"))[0] for each in (student, again))
    assert torch.equal(one, two)


def test_a_corrector_is_not_taken_for_a_student(tmp_path):
    save(corrected(), tmp_path)
    assert checkpoint.read(tmp_path)[0].kind == "corrected"
