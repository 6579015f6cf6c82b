import copy

import pytest
import torch

from correctors import corrected, disturb, trajectory
from ups.diffusion.losses import denoising
from ups.evaluation.correction_probes import GIVEN, frozen_corrector, jump_objectives, walk_set
from ups.evaluation.denoiser_probes import Depth, probe
from ups.models.noise import NoiseError, OutputError
from ups.models.student import StudentSettings
from ups.probes.curvature import curvature
from ups.training.residuals import residuals

DEPTH = Depth(num_vectors=2, num_levels=3, max_lanczos=2, precision="float64")


def known(model):
    return residuals(model.emulator, trajectory().window(0, 2), 0)


def test_the_corrector_is_asked_what_it_was_trained_on():
    model = corrected()
    frozen = frozen_corrector(model.correction, *known(model), DEPTH)
    tensors = frozen.found.to("cpu", torch.float64)
    twin = copy.deepcopy(model.correction.denoiser).double()
    given = [tensors[name] for name in GIVEN]
    for weighting in (NoiseError().build(), OutputError().build()):
        expected = denoising(
            twin.given(*given), tensors["data"], tensors["noise"], tensors["times"], weighting
        )
        found = frozen.objective("o", weighting)(frozen.params)
        assert found.item() == pytest.approx(expected.mean().item(), rel=1e-9)
    (measured,) = probe(frozen, DEPTH, [NoiseError()], "kept")
    assert measured.num_parameters == sum(p.numel() for p in model.correction.denoiser.parameters())
    levels = [trace.mean for trace in measured.levels.values()]
    assert sum(levels) / 3 == pytest.approx(measured.trace.mean, rel=1e-6)  # two windows in each


def test_another_state_below_the_corrector_is_another_probe_set():
    model = corrected()
    (state, params), residual = known(model)
    one, again, other = (
        frozen_corrector(model.correction, (state + shift, params), residual, DEPTH).found.parts
        for shift in (0.0, 0.0, 0.1)
    )
    assert one == again
    assert {name for name in one if one[name] != other[name]} == {"state and forecast"}


def test_a_student_that_hops_as_its_teacher_misses_nothing_but_where_it_takes_two_hops_at_once():
    teacher = corrected(sampler="ddim")
    student = StudentSettings(teacher_steps=2).build(teacher).correction
    walk = walk_set(teacher.correction, known(teacher)[0], 2, DEPTH)
    objective, params, jumps = jump_objectives(student, walk, "float32")
    misses = {name: jump(params).item() for name, jump in jumps.items()}
    assert misses["first half"] == pytest.approx(0, abs=1e-8)
    assert misses["second half"] == pytest.approx(0, abs=1e-8)
    assert misses["whole"] > 1e-6
    assert objective(params).item() == pytest.approx(sum(misses.values()) / 3, rel=1e-5)


def test_the_traces_of_the_jumps_add_up_to_the_whole_and_both_networks_stay_as_they_are():
    teacher = corrected()
    student = disturb(StudentSettings(teacher_steps=4).build(teacher).correction)
    before = copy.deepcopy((teacher.state_dict(), student.state_dict()))
    walk = walk_set(teacher.correction, known(teacher)[0], 4, DEPTH)
    objective, params, jumps = jump_objectives(student, walk, "float64")
    measured = curvature(objective, params, walk, "kept", jumps, max_lanczos=2)
    levels = [trace.mean for trace in measured.levels.values()]
    assert sum(levels) / 3 == pytest.approx(measured.trace.mean, rel=1e-6)
    for model, state in zip((teacher, student), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
