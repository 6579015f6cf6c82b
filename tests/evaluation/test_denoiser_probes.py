import copy

import pytest
import torch

from ups.diffusion.losses import denoising
from ups.diffusion.weighting import snr
from ups.evaluation.denoiser_probes import Frozen, Probe, curvature_rows, glance, probe, probe_set
from ups.images.denoiser import DenoiserManifest, DenoiserSettings, build_denoiser
from ups.models.noise import DataError, MinSNR, NoiseError
from ups.probes.frozen import require_same
from ups.probes.products import hessian_form
from ups.probes.trace import hutchinson, rademacher
from ups.streams import stream
from ups.types import UserError

SETTINGS = Probe(num_images=6, num_vectors=3, num_levels=3, max_lanczos=2, precision="float64")
IMAGES = torch.rand(40, 1, 4, 4, generator=stream(0, "images")) * 2 - 1
FOUND = probe_set(IMAGES, SETTINGS)


@pytest.fixture(scope="module")
def denoiser():
    small = DenoiserSettings(width=16, multipliers=(1,), num_blocks=1)
    manifest = DenoiserManifest(settings=small, channels=1, data_mean=0.0, data_std=0.6)
    model = build_denoiser(manifest, stream(0, "denoiser"))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter += 0.05 * torch.randn(parameter.shape, generator=stream(0, "stir", number))
    return model


@pytest.fixture(scope="module")
def measured(denoiser):
    frozen = Frozen(denoiser, FOUND, SETTINGS.precision)
    return probe(frozen, SETTINGS, SETTINGS.all_objectives(MinSNR(gamma=2)), "ema")


def traces(frozen, objective):
    return hutchinson(hessian_form(objective, frozen.params), rademacher(frozen.params, 0, 3)).raw


def test_the_objective_is_the_loss_that_training_uses(denoiser):
    frozen = Frozen(denoiser, FOUND, "float64")
    tensors = FOUND.to("cpu", torch.float64)
    twin = copy.deepcopy(denoiser).double()
    for weighting in (snr(), MinSNR().build()):
        expected = denoising(twin, tensors["data"], tensors["noise"], tensors["times"], weighting).mean()
        assert frozen.objective("o", weighting)(frozen.params).item() == pytest.approx(
            expected.item(), rel=1e-9
        )


def test_scaling_the_loss_scales_the_trace_and_nothing_else(denoiser):
    frozen = Frozen(denoiser, FOUND, "float64")
    plain = traces(frozen, frozen.objective("plain", snr()))
    scaled = traces(frozen, frozen.objective("scaled", lambda logsnr: 3 * torch.exp(logsnr)))
    assert scaled == pytest.approx([3 * value for value in plain], rel=1e-9)
    assert frozen.objective("scaled", lambda logsnr: 3 * torch.exp(logsnr)).mean_weight == pytest.approx(3)


def test_the_traces_of_the_levels_add_up_to_the_whole(measured):
    for each in measured:
        for vector, whole in enumerate(each.trace.raw):
            parts = [trace.raw[vector] for trace in each.levels.values()]
            assert sum(parts) / len(parts) == pytest.approx(whole, rel=1e-6)  # two images in each level


def test_every_run_is_probed_under_the_canonical_objective_and_its_own_once():
    names = [each.name for each in Probe().all_objectives(MinSNR(gamma=1))]
    assert names == ["noise error, unweighted", "noise error, Min-SNR 1", "noise error, Min-SNR 5"]
    assert len(Probe().all_objectives(NoiseError())) == 2
    assert len(Probe(objectives=()).all_objectives(DataError())) == 2


def test_equal_images_and_settings_give_one_probe_set_and_others_are_told_apart():
    require_same({"a": FOUND.parts, "b": probe_set(IMAGES.clone(), SETTINGS).parts})
    other = probe_set(IMAGES, SETTINGS.model_copy(update={"seed": 1}))
    with pytest.raises(UserError, match="data, noise, seed, times differ"):
        require_same({"a": FOUND.parts, "b": other.parts})
    assert FOUND.tensors["times"].sort().values.mul(6).floor().tolist() == [0, 1, 2, 3, 4, 5]


def test_probing_leaves_the_network_and_the_global_generator_as_they_are(denoiser):
    before, state = copy.deepcopy(denoiser.state_dict()), torch.get_rng_state()
    denoiser.train()
    glance(denoiser, FOUND, [NoiseError()])
    assert denoiser.training
    denoiser.eval()
    assert all(torch.equal(before[name], tensor) for name, tensor in denoiser.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in denoiser.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_a_glance_sees_what_the_full_probe_sees(denoiser, measured):
    numbers = glance(denoiser, FOUND, [NoiseError()])  # in float32
    whole = next(each for each in measured if each.objective == "noise error, unweighted")
    assert numbers["probe/noise error, unweighted/trace"] == pytest.approx(whole.trace.mean, rel=1e-3)
    assert numbers["probe/noise error, unweighted/gradient"] == pytest.approx(whole.gradient_norm, rel=1e-3)
    assert numbers["probe/noise error, unweighted/loss"] == pytest.approx(whole.loss, rel=1e-4)


def test_rows_hold_a_trace_for_each_vector_and_all_else_once(measured):
    rows = curvature_rows(measured)
    mine = [row for row in rows if row.protocol == "curvature, noise error, unweighted"]
    assert {row.stepper for row in mine} == {"ema"}
    whole = next(each for each in measured if each.objective == "noise error, unweighted")
    assert tuple(row.value for row in mine if row.metric == "trace") == whole.trace.raw
    assert [row.trajectory for row in mine if row.metric == "trace"] == [0, 1, 2]
    assert len({row.field for row in mine if row.metric == "level_trace"}) == 3
    single = {row.metric: row.value for row in mine if row.trajectory == -1}
    assert single["mean_weight"] == pytest.approx(1.0)
    assert single["largest_eigenvalue"] == whole.eigenvalues.largest
