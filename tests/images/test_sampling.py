import pytest
import torch

from ups.diffusion.exact import GaussianDenoiser
from ups.images.sampling import SAMPLERS, Clamped, Road, Watched, as_bytes, draw, strips
from ups.models.noise import Chain
from ups.streams import stream

PROCESS = Chain().build()
DENOISER = GaussianDenoiser(PROCESS, 0.3, 0.1)
SHAPE = (3, 4, 4)


def road(sampler, num_steps, seed=0):
    return Road(DENOISER, sampler, num_steps, SHAPE, seed)


@pytest.mark.parametrize(("sampler", "calls"), [("ddim", 6), ("ancestral", 6), ("heun", 11), ("dpmpp_2m", 6)])
def test_the_calls_are_counted_and_the_samples_have_the_law_of_the_data(sampler, calls):
    drawn = draw(road(sampler, 6), 10)
    assert drawn.num_calls == calls
    many = draw(road(sampler, 60), 300).images
    assert many.mean().item() == pytest.approx(0.1, abs=0.02)
    assert many.std().item() == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_first_samples_do_not_depend_on_how_many_there_are(sampler):
    few, many = (draw(road(sampler, 3), num, batch_size=8).images for num in (8, 20))
    assert torch.equal(few, many[:8])
    assert not torch.equal(few, draw(road(sampler, 3, seed=1), 8, batch_size=8).images)


def test_all_samplers_and_numbers_of_steps_start_from_the_same_noise():
    fine = [draw(road(sampler, 200), 6).images for sampler in ("ddim", "heun", "dpmpp_2m")]
    assert (fine[1] - fine[2]).abs().max() < 0.01
    assert (fine[0] - fine[1]).abs().max() < 0.05


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    draw(road("ancestral", 3), 4)
    assert torch.equal(before, torch.get_rng_state())


def test_the_estimate_of_an_image_cannot_leave_the_range_of_images():
    x_t = 40 * torch.randn(2, *SHAPE, generator=stream(0, "x"))
    t = torch.full((2,), 0.3, dtype=torch.float64)
    assert DENOISER(x_t, t).abs().max() > 1
    clamped = Clamped(DENOISER)(x_t, t)
    assert clamped.abs().max() == 1
    assert torch.equal(clamped, DENOISER(x_t, t).clamp(-1, 1))


def test_a_strip_ends_with_the_sample_and_shows_what_the_denoiser_said():
    shown = strips(road("ddim", 20), 4, num_shown=5)
    assert shown.shape == (4, 6, *SHAPE)
    assert torch.equal(shown[:, -1], draw(road("ddim", 20), 4).images)
    spread = shown.std((0, 2, 3, 4))
    assert (spread[:-1].diff() > 0).all()  # from the mean of the data to one of them


def test_a_watched_denoiser_remembers_only_if_asked():
    x_t, t = torch.zeros(1, *SHAPE), torch.full((1,), 0.5)
    forgetful, keeping = Watched(DENOISER), Watched(DENOISER, keeps=True)
    for _ in range(3):
        forgetful(x_t, t)
        keeping(x_t, t)
    assert (forgetful.num_calls, len(forgetful.estimates)) == (3, 0)
    assert (keeping.num_calls, len(keeping.estimates)) == (3, 3)


def test_bytes_are_what_a_file_would_hold():
    assert as_bytes(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]
