import json

import pytest
import torch

from lines import on_line
from tiny_recipe import tiny
from ups import record
from ups.models.autoencoder import Convolutional
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import Transformer
from ups.probes.products import hessian_form
from ups.probes.trace import hutchinson, rademacher
from ups.record import PhysicsRecord
from ups.runs.probe import StageProbe, _codec, forecast_objective, probe
from ups.runs.saved import load as load_rung
from ups.streams import stream
from ups.training.ensemble_stages import CRPSForecast
from ups.training.stages import Autoencode, Forecast
from ups.types import Trajectory, UserError

FEW = ["num_vectors=1", "max_lanczos=2"]


def measured(path):
    return json.loads(path.read_text())["measured"]


def test_the_denoiser_of_an_image_run_is_probed_as_it_was_after_training(tiny_image_run):
    lines = []
    path = probe(tiny_image_run, [], lines.append)
    found = measured(path)
    before = json.loads((tiny_image_run / "curvature.json").read_text())
    assert [each["curvature"]["trace"] for each in found] == [each["trace"] for each in before]
    assert {each["curvature"]["probe_hash"] for each in found} == {before[0]["probe_hash"]}
    assert len(lines) == 4
    for each in found:
        norms = each["gradient_by_module"].values()
        assert sum(norm**2 for norm in norms) == pytest.approx(each["curvature"]["gradient_norm"] ** 2)


def test_operator_and_baselines_of_a_run_are_probed_under_their_forecast_loss(tiny_run):
    found = measured(probe(tiny_run, [*FEW, "num_windows=4"], lambda _: None))
    assert {each["stage"] for each in found} == {"operator", "tuned_fno"}
    for each in found:
        assert each["curvature"]["loss"] > 0
        assert each["curvature"]["gauss_newton"]["raw"][0] > 0


def test_the_forecast_objective_is_the_loss_of_the_stage_and_scales_with_it(tiny_run):
    fields = on_line(("u",), ("1",), 1.0, 0.05, params=("beta",), cells=32)
    emulator = load_rung(tiny_run)
    values = torch.sin(torch.arange(2 * 3 * 32).reshape(2, 3, 1, 32) / 5.0)
    batch = Trajectory(values, torch.ones(2, len(emulator.fields.params)), fields)
    objective, params = forecast_objective(emulator, batch, StageProbe(num_steps=2))
    expected, _ = Forecast("operator", emulator, ((0.0, 2),)).loss(batch, torch.Generator())
    assert all(name.startswith("stepper.operator.") for name in params)
    assert objective(params).item() == pytest.approx(expected.mean().item(), rel=1e-5)

    def trace(scale):
        form = hessian_form(lambda weights: scale * objective(weights), params)
        return hutchinson(form, rademacher(params, 0, 1)).mean

    assert trace(4.0) == pytest.approx(4 * trace(1.0), rel=1e-4)


def test_corrector_student_and_stochastic_baselines_are_probed_too(kicked_run):
    found = measured(probe(kicked_run, [*FEW, "num_windows=4", "num_levels=2"], lambda _: None))
    assert [(each["stage"], each["curvature"]["objective"]) for each in found] == [
        ("operator", "forecast of 1 frame(s), relative error"),
        ("crps_operator", "forecast of 1 frame(s), CRPS of 4 members"),
        ("corrector", "noise error, unweighted"),
        ("corrector", "output error"),
        ("student", "jumps of the teacher's walk"),
    ]
    assert list(found[2]["curvature"]["levels"]) == ["t 0.00-0.50", "t 0.50-1.00"]
    assert list(found[4]["curvature"]["levels"]) == ["whole", "first half", "second half"]
    stages = json.loads((kicked_run / "run.json").read_text())["stages"]
    for each in found:
        assert each["curvature"]["num_parameters"] == stages[each["stage"]]["num_parameters"]
        norms = each["gradient_by_module"].values()
        assert sum(norm**2 for norm in norms) == pytest.approx(each["curvature"]["gradient_norm"] ** 2)
    gauss_newton = {each["stage"]: each["curvature"]["gauss_newton"]["raw"][0] for each in found}
    assert gauss_newton.pop("crps_operator") == 0  # the score is piecewise linear
    assert min(gauss_newton.values()) > 0


def test_a_stochastic_stepper_is_asked_for_the_score_that_trained_it(kicked_run):
    baseline = load_rung(kicked_run, "crps_operator")
    values = torch.sin(torch.arange(2 * 3 * 32).reshape(2, 3, 1, 32) / 5.0)
    batch = Trajectory(values, torch.ones(2, len(baseline.fields.params)), baseline.fields)
    objective, params = forecast_objective(baseline, batch, StageProbe(num_steps=2, seed=3))
    stage = CRPSForecast(
        "baseline", baseline, ((0.0, 2),), baseline.settings.num_members, baseline.settings.fairness
    )
    expected, _ = stage.loss(batch, stream(3, "probes/members"))
    assert objective(params).item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_a_codec_is_asked_for_its_reconstruction_and_the_operator_above_it_for_nothing():
    fields = on_line(("u",), ("1",), 1.0, 0.05, params=("nu",), cells=32)
    values = torch.sin(torch.arange(4 * 1 * 32).reshape(4, 1, 1, 32) / 5.0)
    batch = Trajectory(values, torch.ones(4, 1), fields)
    codec = Convolutional(width=8).build(fields, stream(0, "codec"))
    operator = Transformer(depth=1).build(codec, fields, stream(0, "operator"))
    emulator = Emulator(fit_normalizer(batch), codec, operator, fields)
    found = _codec(emulator, batch, StageProbe(num_vectors=1, max_lanczos=2))
    expected, _ = Autoencode("codec", codec, emulator.normalizer).loss(batch, torch.Generator())
    assert found.curvature.loss == pytest.approx(expected.mean().item(), rel=1e-5)
    assert found.curvature.num_parameters == sum(p.numel() for p in codec.parameters())


def test_probes_that_cannot_be_made_are_said_in_one_line(tiny_image_run, tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        probe(tmp_path, [], lambda _: None)
    with pytest.raises(UserError, match="did you mean 'num_vectors'"):
        probe(tiny_image_run, ["num_vector=3"], lambda _: None)
    record.begin(tmp_path, tiny(), PhysicsRecord)
    with pytest.raises(UserError, match="not finished"):
        probe(tmp_path, [], lambda _: None)
