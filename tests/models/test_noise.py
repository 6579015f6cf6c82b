import math

import pytest
import torch

from ups.diffusion.weighting import snr
from ups.models.noise import (
    Chain,
    CosinePath,
    DataError,
    LinearPath,
    MinSNR,
    NoiseError,
    SoftMinSNR,
    build_parameterization,
    mean_weight,
)

LINEAR, COSINE = Chain().build(), Chain(betas="cosine").build()


@pytest.mark.parametrize(
    ("process", "weighting", "expected"),
    [
        (LINEAR, MinSNR(gamma=5), 0.91307),
        (LINEAR, MinSNR(gamma=3), 0.888),
        (LINEAR, MinSNR(gamma=1), 0.81731),
        (LINEAR, MinSNR(gamma=20), 0.95786),
        (LINEAR, SoftMinSNR(gamma=5), 0.84094),
        (COSINE, MinSNR(gamma=5), 0.82402),
        (COSINE, MinSNR(gamma=3), 0.776),
        (COSINE, MinSNR(gamma=1), 0.64211),
        (COSINE, SoftMinSNR(gamma=5), 0.69684),
    ],
)
def test_the_mean_weight_over_the_thousand_steps_is_that_of_independent_code(process, weighting, expected):
    assert mean_weight(process, weighting.build()) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    "process", [LinearPath(), CosinePath(), Chain(), Chain(betas="cosine", num_steps=50)]
)
def test_the_unweighted_noise_error_has_mean_weight_one_for_every_process(process):
    assert mean_weight(process.build(), NoiseError().build()) == pytest.approx(1.0, abs=1e-12)


def test_a_chain_of_other_length_keeps_its_levels():
    half = torch.tensor(0.5, dtype=torch.float64)
    assert Chain(num_steps=2000).build().logsnr(half) == pytest.approx(float(LINEAR.logsnr(half)), abs=0.02)


def test_the_weights_are_those_on_the_data_error():
    logsnr = torch.tensor([-2.0, 0.0, math.log(5.0), 4.0])
    ratio = torch.exp(logsnr)
    assert torch.allclose(NoiseError().build()(logsnr), ratio)
    assert torch.allclose(MinSNR().build()(logsnr), ratio.clamp(max=5))
    assert torch.allclose(SoftMinSNR(gamma=2).build()(logsnr), 2 * ratio / (ratio + 2))
    assert torch.equal(DataError().build()(logsnr), torch.ones(4))
    assert torch.equal(NoiseError().build()(logsnr), snr()(logsnr))


def test_objectives_that_differ_have_names_that_differ():
    each = [NoiseError(), MinSNR(gamma=5), MinSNR(gamma=1), SoftMinSNR(gamma=5), DataError()]
    assert len({weighting.name for weighting in each}) == len(each)


@pytest.mark.parametrize("predicts", ["eps", "x0", "v", "flow", "edm"])
def test_every_parameterization_gives_the_network_unit_variance(predicts):
    alpha, sigma = torch.tensor([0.9, 0.3]), torch.tensor([0.2, 0.8])
    c_in = build_parameterization(predicts, 0.5)(alpha, sigma).c_in
    assert torch.allclose(c_in**2 * ((0.5 * alpha) ** 2 + sigma**2), torch.ones(2))
