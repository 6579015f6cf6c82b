import pytest
import torch

from ups.images.images import Images


def four_images(labels=True):
    """Constant images 0, 50, 100, 150, but for a white left edge."""
    pixels = torch.arange(0, 200, 50, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 4, 6)
    pixels[..., 0] = 255
    return Images(pixels, torch.tensor([0, 1, 0, 1]) if labels else None, ("even", "odd"), "a test")


def test_bytes_become_numbers_from_minus_one_to_one_and_can_be_had_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    values = Images(pixels, None, (), "").batch(slice(None))
    assert values.dtype == torch.float32
    assert values.min() == -1
    assert values.max() == 1
    assert torch.equal(((values + 1) * 127.5).round().to(torch.uint8), pixels)
    assert torch.equal(pixels.flatten(), torch.arange(256))  # the images themselves are left as they were


def test_a_batch_holds_the_images_that_are_named_in_their_order():
    images = four_images()
    values = images.batch(torch.tensor([3, 0, 3]))
    assert values[:, 0, 0, 3].tolist() == pytest.approx([150 / 127.5 - 1, -1, 150 / 127.5 - 1])


def test_the_digest_sees_pixels_order_labels_and_classes():
    images = four_images()
    touched = images.pixels.clone()
    touched[2, 1, 0, 0] += 1
    variants = [
        images,
        four_images(labels=False),
        Images(touched, images.labels, images.classes, "a test"),
        Images(images.pixels.flip(0), images.labels, images.classes, "a test"),
        Images(images.pixels, 1 - images.labels, images.classes, "a test"),
        Images(images.pixels, images.labels, ("odd", "even"), "a test"),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    assert images.digest == four_images().digest
