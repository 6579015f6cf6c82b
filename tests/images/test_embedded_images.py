import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ups.images import embedded_images
from ups.images.embedded_images import Crops, Digits
from ups.types import UserError


@pytest.fixture
def numbered(monkeypatch):
    """Two photographs in which no two pixels are equal."""
    numbers = np.arange(2 * 427 * 640).reshape(2, 427, 640)
    images = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], -1).astype(np.uint8)
    loaded = SimpleNamespace(images=list(images), filenames=["a/china.jpg", "a/flower.jpg"])
    package = SimpleNamespace(load_sample_images=lambda: loaded)
    monkeypatch.setattr(embedded_images, "_scikit_learn", lambda: package)


def numbers(images):
    red, green, blue = images.pixels.long().unbind(1)
    return red + 256 * green + 65536 * blue


def test_no_pixel_is_in_both_splits(numbered):
    train, test = (numbers(Crops(num_train=6000, num_test=3000).load(split)) for split in ("train", "test"))
    seen = torch.zeros(2 * 427 * 640, dtype=torch.bool)
    seen[train.flatten()] = True
    assert not seen[test.flatten()].any()
    seen[test.flatten()] = True
    assert seen.double().mean() > 0.9  # and hardly any is left out


def test_a_crop_is_a_square_of_one_photograph_at_a_place_of_its_own(numbered):
    images = Crops(num_train=3000).load("train")
    crops = numbers(images)
    square = 640 * torch.arange(32)[:, None] + torch.arange(32)
    assert torch.equal(crops, crops[:, :1, :1] + square)
    assert len(crops[:, 0, 0].unique()) == 3000
    assert torch.equal(images.labels, crops[:, 0, 0] // (427 * 640))
    assert images.classes == ("china", "flower")


def test_more_crops_keep_those_that_there_were_and_another_seed_gives_others(numbered):
    few, many = Crops(num_train=10).load("train"), Crops(num_train=50).load("train")
    assert torch.equal(many.pixels[:10], few.pixels)
    assert torch.equal(few.pixels, Crops(num_train=10).load("train").pixels)
    assert not torch.equal(few.pixels, Crops(num_train=10, seed=1).load("train").pixels)


def test_both_splits_hold_both_photographs_in_equal_parts(numbered):
    for split in ("train", "test"):
        share = Crops().load(split).labels.double().mean()
        assert share == pytest.approx(0.5, abs=0.05)


def test_more_crops_than_places_are_refused(numbered):
    assert len(Crops(num_test=31_680).load("test")) == 31_680
    with pytest.raises(UserError, match=r"data.num_test=31681: there are 31680 places for a crop"):
        Crops(num_test=31_681).load("test")


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for source in (Crops(), Digits()):
        with pytest.raises(UserError, match=r"^data: .* pip install 'universal-physics-stack\[images\]'$"):
            source.load("train")


def test_the_crops_have_the_colors_of_the_photographs_that_scikit_learn_ships():
    datasets = pytest.importorskip("sklearn.datasets")
    images = Crops(num_train=4000).load("train")
    for label, name in enumerate(images.classes):
        pixels = datasets.load_sample_image(f"{name}.jpg").reshape(-1, 3)
        crops = images.pixels[images.labels == label].double().transpose(1, 3).reshape(-1, 3).numpy()
        assert np.allclose(crops.mean(0), pixels.mean(0), atol=0.2 * pixels.std(0).min())
        assert np.allclose(crops.std(0), pixels.std(0), rtol=0.1)


def test_enlarged_digits_are_still_the_digits_that_their_labels_say():
    datasets = pytest.importorskip("sklearn.datasets")
    train, test = Digits().load("train"), Digits().load("test")
    whole = torch.cat([train.pixels, test.pixels])
    assert torch.equal(whole, whole[:, :1].expand(-1, 3, -1, -1))
    coarse = torch.nn.functional.avg_pool2d(whole[:, 0].float(), 4)
    original = torch.from_numpy(datasets.load_digits().images).float() * (255 / 16)
    both = torch.stack([coarse.flatten(), original.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.97
    distance = torch.cdist(test.pixels.flatten(1).float(), train.pixels.flatten(1).float())
    assert distance.min() > 0  # no image is in both splits
    guess = train.labels[distance.argmin(1)]
    assert (guess == test.labels).double().mean() > 0.9
