import pytest
import torch
from test_classifier import gratings
from torch import nn

from ups.images.anchors import anchors, blur
from ups.images.features import Classifier, Extractor, build_extractor
from ups.models.initialization import initialize
from ups.streams import stream
from ups.types import UserError


@pytest.fixture(scope="module")
def extractor():
    """Sixteen random filters, rectified and pooled: they see contrast and detail."""

    def make():
        return nn.Sequential(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    return Extractor("filters", 16, initialize(make, stream(0, "filters")))


@pytest.fixture(scope="module")
def found(extractor):
    train, test = gratings(1000)[0], gratings(800, "test")[0]
    return {a.images: a for a in anchors(extractor, train, extractor(test), 300, stream(0, "anchors"))}


def test_anchors_are_ordered_and_say_what_they_are(found, extractor):
    assert list(found) == ["train", "blurred", "mean image", "noise"]
    assert 5 * found["train"].frechet < found["blurred"].frechet < found["noise"].frechet
    assert found["train"].kid.value < found["blurred"].kid.value < found["noise"].kid.value
    for anchor in found.values():
        assert (anchor.features, anchor.num_samples, anchor.num_reference) == (extractor.name, 300, 800)


def test_training_images_are_at_kernel_distance_zero_within_the_error(found):
    assert abs(found["train"].kid.value) < 3 * found["train"].kid.standard_error
    assert found["blurred"].kid.value > 10 * found["blurred"].kid.standard_error


def test_more_samples_than_training_images_are_refused(extractor):
    train = gratings(100)[0]
    with pytest.raises(UserError, match="101 samples are more than the 100 training images"):
        anchors(extractor, train, extractor(train), 101, stream(0, "anchors"))


def test_a_blurred_point_is_a_gaussian_of_the_same_sum():
    images = torch.zeros(1, 2, 41, 41)
    images[0, 1, 20, 20] = 1
    blurred = blur(images, 2.0)
    offsets = torch.arange(41) - 20
    assert blurred[0, 0].abs().max() == 0
    assert blurred.sum().item() == pytest.approx(1, abs=1e-6)
    assert (blurred[0, 1].sum(1) * offsets**2).sum().item() == pytest.approx(4.0, rel=0.03)  # cut at 3 sigma
    torch.testing.assert_close(blurred, blurred.transpose(2, 3))


def test_a_constant_image_stays_as_it_is():
    images = torch.full((2, 3, 16, 16), 0.3)
    torch.testing.assert_close(blur(images, 1.0), images)


def test_a_classifier_of_digits_orders_the_anchors_too(tmp_path):
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images = torch.tensor(digits.images).float()[:, None] / 8 - 1
    images = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    settings = Classifier(num_updates=100, width=8)
    extractor = build_extractor(settings, images[:1000], torch.tensor(digits.target)[:1000], tmp_path)
    found = anchors(extractor, images[:1000], extractor(images[1000:]), 400, stream(0, "anchors"))
    train, blurred, _, noise = (anchor.frechet for anchor in found)
    assert 2 * train < blurred < noise
