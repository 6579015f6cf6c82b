from itertools import pairwise

import pytest
import torch
from torch import nn

from ups.diffusion.denoiser import Denoiser
from ups.diffusion.exact import GaussianDenoiser
from ups.diffusion.parameterization import eps
from ups.images.denoiser import DenoiserManifest, DenoiserSettings, build_denoiser
from ups.images.stage import LEVELS, Denoise, as_frames, draw_mirrored, level_losses
from ups.models.noise import Chain, MinSNR, NoiseError, mean_weight
from ups.streams import stream
from ups.training.stages import Diagnosed, Stage, gradient_reach

PROCESS = Chain().build()
MEAN, STD = 0.2, 0.5


def gaussian_images(num=512, size=4):
    return MEAN + STD * torch.randn(num, 3, size, size, generator=stream(0, "images"))


class Silent(nn.Module):
    """A network that says nothing: it takes all noise for zero."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x, logsnr):
        return self.scale * x


def silent(weighting):
    denoiser = Denoiser(Silent(), PROCESS, eps(STD))
    return Denoise("denoiser", denoiser, weighting.build(), GaussianDenoiser(PROCESS, STD, MEAN))


def test_a_silent_network_pays_the_mean_weight_of_its_objective():
    batch = as_frames(gaussian_images())
    for weighting in (NoiseError(), MinSNR(gamma=5), MinSNR(gamma=1)):
        loss, _ = silent(weighting).loss(batch, stream(0, "loss"))
        assert loss.shape == (512,)
        assert loss.mean().item() == pytest.approx(mean_weight(PROCESS, weighting.build()), rel=0.02)


def test_the_trivial_loss_is_that_of_the_best_denoiser_that_knows_mean_and_spread():
    batch = as_frames(gaussian_images(2048))
    _, parts = silent(NoiseError()).loss(batch, stream(0, "loss"))
    t = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    alpha, sigma = PROCESS.scales(t)
    expected = (alpha**2 * STD**2 / (alpha**2 * STD**2 + sigma**2)).mean().item()
    assert parts["trivial"].mean().item() == pytest.approx(expected, rel=0.02)
    assert not parts["trivial"].requires_grad


def test_the_loss_of_each_level_is_that_of_theory():
    exact = GaussianDenoiser(PROCESS, STD, MEAN)
    found = level_losses(exact, gaussian_images(4096), MinSNR().build(), stream(0, "levels"))
    for low, high in pairwise(LEVELS):
        logsnr = torch.linspace(low, high, 2001, dtype=torch.float64)
        ratio = torch.exp(PROCESS.logsnr(PROCESS.time(logsnr)))
        noise_error = ratio * STD**2 / (ratio * STD**2 + 1)  # SNR times the posterior variance
        weighted = noise_error * (5 / ratio).clamp(max=1)
        name = f"logSNR {low:g} to {high:g}"
        assert found[f"unweighted, {name}"] == pytest.approx(noise_error.mean().item(), rel=0.03)
        assert found[f"weighted, {name}"] == pytest.approx(weighted.mean().item(), rel=0.03)


def test_it_is_a_stage_whose_loss_reaches_every_parameter_of_a_u_net():
    settings = DenoiserSettings(width=16, multipliers=(1, 1), num_blocks=1)
    manifest = DenoiserManifest(settings=settings, channels=3, data_mean=MEAN, data_std=STD)
    denoiser = build_denoiser(manifest, stream(0, "denoiser"))
    stage = Denoise("denoiser", denoiser, MinSNR().build(), GaussianDenoiser(PROCESS, STD, MEAN))
    assert isinstance(stage, Stage)
    assert isinstance(stage, Diagnosed)
    batch = as_frames(gaussian_images(8, 8))
    gradient_reach(stage, batch, stream(0, "reach"))
    names = stage.diagnose(batch, stream(0, "diagnose")).keys()
    assert names == stage.diagnose(batch.select(slice(2)), stream(0, "diagnose")).keys()
    assert stage.window(0.0) == stage.window(1.0) == 1


def test_frames_are_the_images_themselves():
    images = gaussian_images(5, 8)
    frames = as_frames(images)
    assert frames.values.shape == (5, 1, 3, 8, 8)
    assert frames.values.data_ptr() == images.data_ptr()


def test_half_of_the_drawn_images_are_mirrored_and_nothing_else_happens_to_them():
    images = gaussian_images(50, 4)
    before = images.clone()
    drawn = draw_mirrored(as_frames(images), 400, 1, stream(0, "draw")).values[:, 0]
    distance = (drawn[:, None] - images).abs().flatten(2).sum(-1)
    flipped = (drawn[:, None] - images.flip(-1)).abs().flatten(2).sum(-1)
    plain, mirrored = (distance == 0).any(1), (flipped == 0).any(1)
    assert (plain ^ mirrored).all()
    assert 0.4 < mirrored.double().mean() < 0.6
    assert torch.equal(images, before)
