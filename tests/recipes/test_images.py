import pytest

from ups.models.noise import MinSNR, NoiseError
from ups.recipes import images
from ups.recipes.find import find_run, find_study
from ups.studies.confounds import differences


@pytest.mark.parametrize(
    ("plain", "weighted"), [(images.ddpm, images.min_snr), (images.ddpm_full, images.min_snr_full)]
)
def test_the_two_recipes_differ_in_the_weighting_alone(plain, weighted):
    one, other = plain(), weighted()
    assert (one.weighting, other.weighting) == (NoiseError(), MinSNR(gamma=5))
    found = differences(one.model_dump(mode="json"), other.model_dump(mode="json"))
    assert {each.path for each in found} == {"weighting.kind", "weighting.gamma"}


@pytest.mark.parametrize("make", [images.min_snr_study, images.min_snr_study_full])
def test_the_study_is_the_two_by_two_over_three_seeds(make):
    study = make()
    assert len(study.seeds) >= 3
    base, variant = (study.settings(name, 0) for name in ("base", "min_snr"))
    assert (base.weighting, variant.weighting) == (NoiseError(), MinSNR(gamma=5))
    probed = [[each.name for each in run.probe.all_objectives(run.weighting)] for run in (base, variant)]
    assert set(probed[0]) == set(probed[1])
    assert study.metric.protocol.removeprefix("curvature, ") in probed[0]
    seeds = [study.settings("base", seed) for seed in study.seeds]
    assert len({run.probe.seed for run in seeds}) == len({run.sweep.seed for run in seeds}) == 1


def test_the_full_recipe_has_the_settings_of_the_source_study():
    run = images.ddpm_full()
    training = run.training
    assert (training.batch_size, training.learning_rate, training.clip) == (4, 1e-4, 1.0)
    assert (training.updates, training.ema_decay, training.schedule) == (10_000, 0.999, "constant")
    assert (run.denoiser.width, run.denoiser.multipliers) == (32, (1, 2, 2, 2))
    assert (run.denoiser.process.betas, run.denoiser.process.num_steps) == ("linear", 1000)
    assert run.denoiser.predicts == "eps"
    assert run.sweep.steps == (5, 10, 20, 50, 100, 250, 1000)
    assert run.sweep.num_samples > run.features.num_features


def test_recipes_and_study_are_found_by_name():
    assert find_run("images.ddpm")[1] == images.ddpm()
    assert find_study("images.min_snr_study")[1] == images.min_snr_study()
