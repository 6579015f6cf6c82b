import math
from pathlib import Path

import pytest
import torch

from ups.images import classifier as module
from ups.images.classifier import Classifier, accuracy, train_classifier, trained_classifier
from ups.streams import stream
from ups.types import UserError

SMALL = Classifier(num_features=32, width=8, num_updates=80, batch_size=64)


def gratings(count, name="train", size=16):
    """Waves of four directions with random phases, under noise: the label is the direction."""
    generator = stream(0, f"gratings/{name}")
    labels = torch.randint(4, (count,), generator=generator)
    phase = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    angle = (labels * math.pi / 4)[:, None, None]
    waves = torch.sin(0.8 * (x * torch.cos(angle) + y * torch.sin(angle)) + phase)
    noise = torch.randn(count, 1, size, size, generator=generator)
    return (0.5 * waves[:, None] + 0.3 * noise).clamp(-1, 1), labels


@pytest.fixture(scope="module")
def trained():
    return train_classifier(SMALL, *gratings(1000))


def test_directions_are_told_apart(trained):
    assert accuracy(trained, *gratings(400, "test")) > 0.97


def test_shuffled_labels_are_not_learned():
    images, labels = gratings(1000)
    found = train_classifier(SMALL, images, labels[torch.randperm(1000, generator=stream(0, "shuffle"))])
    assert accuracy(found, *gratings(400, "test")) < 0.5


def test_digits_are_read():
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    images, labels = torch.tensor(digits.images).float()[:, None] / 8 - 1, torch.tensor(digits.target)
    found = train_classifier(Classifier(num_updates=150), images[:1400], labels[:1400])
    assert accuracy(found, images[1400:], labels[1400:]) > 0.93


def test_a_classifier_is_a_function_of_its_arguments_and_leaves_the_global_generator_alone(trained):
    before = torch.get_rng_state()
    again = train_classifier(SMALL, *gratings(1000))
    assert torch.equal(torch.get_rng_state(), before)
    other = train_classifier(SMALL.model_copy(update={"seed": 1}), *gratings(1000))
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert not torch.equal(other.head.weight, trained.head.weight)


def test_the_features_of_an_image_do_not_depend_on_its_batch(trained):
    images = gratings(8, "test")[0]
    with torch.no_grad():
        together, alone = trained.features(images), trained.features(images[:1])
    assert together.shape == (8, 32)
    torch.testing.assert_close(together[:1], alone)


def test_a_saved_classifier_is_used_again_for_the_same_images_only(tmp_path: Path, monkeypatch):
    images, labels = gratings(100)
    settings = SMALL.model_copy(update={"num_updates": 2})
    first = trained_classifier(settings, images, labels, tmp_path)
    monkeypatch.setattr(module, "train_classifier", lambda *arguments: pytest.fail("trained again"))
    again = trained_classifier(settings, images, labels, tmp_path)
    assert torch.equal(first(images), again(images))
    for changed in (
        (settings, -images, labels),
        (settings, images, labels.flip(0)),
        (settings.model_copy(update={"seed": 1}), images, labels),
    ):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            trained_classifier(*changed, tmp_path)


def test_a_damaged_classifier_is_refused(tmp_path: Path):
    images, labels = gratings(100)
    settings = SMALL.model_copy(update={"num_updates": 2})
    trained_classifier(settings, images, labels, tmp_path)
    (weights,) = tmp_path.glob("*/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="damaged"):
        trained_classifier(settings, images, labels, tmp_path)
