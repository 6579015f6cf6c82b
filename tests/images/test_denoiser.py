import pytest
import torch

from ups import checkpoint
from ups.images.denoiser import DenoiserManifest, DenoiserSettings, ImageDenoiser, build_denoiser
from ups.models.noise import CosinePath
from ups.streams import stream
from ups.types import UserError

SMALL = DenoiserSettings(width=16, multipliers=(1, 1), num_blocks=1)
MANIFEST = DenoiserManifest(settings=SMALL, channels=3, data_mean=0.1, data_std=0.6)


def noisy(batch=3, size=8):
    generator = stream(1, "noisy")
    x_t = torch.randn(batch, 3, size, size, generator=generator)
    return x_t, torch.rand(batch, generator=generator, dtype=torch.float64)


def stirred(seed=0):
    """A denoiser whose output is not zero any more."""
    denoiser = build_denoiser(MANIFEST, stream(seed, "denoiser"))
    with torch.no_grad():
        for number, parameter in enumerate(denoiser.parameters()):
            parameter += 0.05 * torch.randn(parameter.shape, generator=stream(seed, "stir", number))
    return denoiser


def test_before_training_it_takes_the_noise_for_nothing():
    x_t, t = noisy()
    denoiser = build_denoiser(MANIFEST, stream(0, "denoiser"))
    alpha, _ = denoiser.process.scales(t)
    assert torch.allclose(denoiser(x_t, t), x_t / alpha[:, None, None, None].float(), rtol=1e-5)


def test_it_is_a_function_of_its_generator():
    weights = [
        torch.cat([p.flatten() for p in build_denoiser(MANIFEST, stream(seed, "denoiser")).parameters()])
        for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_it_hears_the_level_of_noise():
    denoiser, (x_t, _) = stirred(), noisy()
    low, high = (denoiser.network(x_t, torch.full((3,), logsnr)) for logsnr in (-3.0, 3.0))
    assert (low - high).abs().max() > 1e-3


def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path):
    denoiser, (x_t, t) = stirred(), noisy()
    checkpoint.save(denoiser, tmp_path)
    loaded = checkpoint.load(tmp_path)
    assert isinstance(loaded, ImageDenoiser)
    assert loaded.manifest() == MANIFEST
    assert torch.equal(loaded(x_t, t), denoiser.eval()(x_t, t))


def test_the_process_is_saved_with_it(tmp_path):
    settings = SMALL.model_copy(update={"process": CosinePath(), "predicts": "v"})
    denoiser = build_denoiser(MANIFEST.model_copy(update={"settings": settings}), stream(0, "denoiser"))
    checkpoint.save(denoiser, tmp_path)
    half = torch.tensor(0.5, dtype=torch.float64)
    assert checkpoint.load(tmp_path).process.logsnr(half) == pytest.approx(0.0, abs=1e-12)


def test_a_folder_without_a_denoiser_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"model\.json"):
        checkpoint.load(tmp_path)
