import math

import pytest
import torch
from torch import nn

from ups.diffusion.exact import GaussianDenoiser
from ups.images.features import Extractor
from ups.images.sweep import Sweep, judge, sweep, sweep_rows
from ups.models.noise import LinearPath
from ups.streams import stream
from ups.types import UserError

SHAPE = (3, 16, 16)
MEAN, STD = 0.1, 0.3


class Patches(nn.Module):
    """Four pixels of an image, as features."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.gain * images[:, 0, ::8, ::8].flatten(1)


EXTRACTOR = Extractor("patches/1", 4, Patches())


def data(num, seed):
    return (MEAN + STD * torch.randn(num, *SHAPE, generator=stream(seed, "data"))).clamp(-1, 1)


@pytest.fixture(scope="module")
def found():
    process = LinearPath().build()
    settings = Sweep(samplers=("ddim", "heun"), steps=(2, 30), num_samples=400, batch_size=100)
    judged_by = judge(EXTRACTOR, data(500, 0), data(1000, 1), 400, seed=0)
    denoisers = {"ema": GaussianDenoiser(process, STD, MEAN), "raw": GaussianDenoiser(process, STD, -0.3)}
    fractions = []
    scored = sweep(
        settings, denoisers, SHAPE, judged_by, torch.device("cpu"), lambda f, _: fractions.append(f)
    )
    return judged_by, scored, fractions


def test_a_perfect_denoiser_scores_like_training_images_and_a_shifted_one_does_not(found):
    judged_by, scored, _ = found
    frechet = {point.stepper: point.fidelity.frechet for point in scored}
    anchor = {each.images: each.frechet for each in judged_by.anchors}
    assert frechet["heun 30 ema"] < 0.02 < anchor["noise"]
    assert anchor["train"] < 0.02
    assert frechet["ddim 30 ema"] < frechet["ddim 2 ema"]
    shift = 4 * (MEAN + 0.3) ** 2  # of four features
    assert frechet["heun 30 raw"] == pytest.approx(shift, rel=0.15)


def test_rows_carry_features_counts_sampler_steps_calls_and_weights(found):
    judged_by, scored, fractions = found
    rows = sweep_rows(judged_by, scored)
    assert {row.protocol for row in rows if row.metric == "kid"} == {"patches/1, 400 against 1000"}
    calls = {row.stepper: row.value for row in rows if row.metric == "num_calls"}
    assert calls["heun 30 ema"] == 59
    assert calls["ddim 30 raw"] == 30
    assert {row.stepper for row in rows if row.metric == "frechet"} == {
        *calls, "train", "blurred", "mean image", "noise",
    }  # fmt: skip
    assert fractions == sorted(fractions)
    assert not any(math.isnan(row.value) for row in rows)


def test_a_glance_at_samples_gives_their_kernel_distance_however_few_they_are(found):
    judged_by, _, _ = found
    numbers = judged_by.glance(data(50, 3))
    assert abs(numbers["fidelity/kid"]) < 3 * numbers["fidelity/kid_standard_error"]
    assert judged_by.glance(-data(50, 3))["fidelity/kid"] > 5 * numbers["fidelity/kid_standard_error"]
    assert judged_by.glance(data(3, 3)).keys() == numbers.keys()


def test_the_bias_falls_with_the_number_of_test_images(found):
    bias = found[0].bias
    assert list(bias) == [125, 250, 500]
    assert bias[125] > bias[500] > 0


def test_more_samples_than_training_images_are_refused_before_any_is_drawn():
    with pytest.raises(UserError, match="anchors: 600 samples"):
        judge(EXTRACTOR, data(500, 0), data(100, 1), 600, seed=0)
