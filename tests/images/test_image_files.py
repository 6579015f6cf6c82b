import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from image_data import REAL, encoded, needs_real, pixels, write_parquet
from PIL import Image

from messages import is_one_line_about
from ups.config import override
from ups.images import image_files
from ups.images.image_files import FolderImages, ParquetImages
from ups.types import UserError


def as_images(arrays):
    return torch.from_numpy(arrays).permute(0, 3, 1, 2)


def parquet(folder, arrays=None, **changes):
    arrays = pixels() if arrays is None else arrays
    folder.mkdir(exist_ok=True)
    pictures = changes.pop("pictures", [encoded(array) for array in arrays])
    labels = changes.pop("labels", list(range(len(pictures))))
    write_parquet(folder / changes.pop("file", "train-0.parquet"), pictures, labels, **changes)
    return ParquetImages(folder=folder)


def fault(source, path, match, split="train"):
    with pytest.raises(UserError, match=match) as error:
        source.load(split)
    assert is_one_line_about(error, path)


def test_what_is_written_to_parquet_is_read_again(tmp_path):
    images = parquet(tmp_path, pixels()).load("train")
    assert torch.equal(images.pixels, as_images(pixels()))
    assert images.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert images.classes[5] == "dog"
    assert images.description == "CIFAR-10"


def test_files_are_joined_in_the_order_of_their_names_and_splits_are_kept_apart(tmp_path):
    folder = tmp_path / "with [brackets] and *"
    parquet(tmp_path / "with b and more", file="train-00000-of-00002.parquet")
    parquet(folder, pixels(seed=1), file="train-00001-of-00002.parquet")
    parquet(folder, pixels(seed=0), file="train-00000-of-00002.parquet")
    source = parquet(folder, pixels(2, seed=2), file="test-00000-of-00001.parquet")
    assert torch.equal(
        source.load("train").pixels, as_images(np.concatenate([pixels(seed=0), pixels(seed=1)]))
    )
    assert torch.equal(source.load("test").pixels, as_images(pixels(2, seed=2)))


def test_lossy_pixels_are_close_and_the_description_says_so(tmp_path):
    ramp = np.linspace(0, 255, 32)[None, :, None].repeat(32, 0).repeat(3, 2).astype(np.uint8)
    images = parquet(tmp_path, pictures=[encoded(ramp, "JPEG"), encoded(ramp)], labels=[0, 1]).load("train")
    assert images.description == "CIFAR-10, JPEG re-encoded"
    assert torch.equal(images.pixels[1], as_images(ramp[None])[0])
    error = (images.pixels[0].int() - images.pixels[1].int()).abs()
    assert 0 < error.max() <= 8


def test_gray_and_indexed_pictures_become_rgb_and_sixteen_bits_are_refused(tmp_path):
    gray = pixels(1)[0, :, :, 0]
    few = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)
    choice = (np.indices((32, 32)).sum(0) % 2).astype(np.uint8)
    indexed = Image.fromarray(choice).convert("P")
    indexed.putpalette(few.tobytes())
    images = parquet(tmp_path, pictures=[encoded(gray), encoded(indexed)]).load("train")
    assert torch.equal(images.pixels[0], torch.from_numpy(gray).expand(3, 32, 32))
    assert torch.equal(images.pixels[1], as_images(few[choice][None])[0])
    deep = encoded(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60)
    fault(parquet(tmp_path, pictures=[deep]), tmp_path, "row 0: image of mode I;16, expected 8 bits")


def test_the_second_time_nothing_is_decoded_wherever_the_same_bytes_are(tmp_path, monkeypatch):
    done = []
    first = parquet(tmp_path / "a").load(
        "train", tmp_path / "cache", lambda fraction, text: done.append(fraction)
    )
    assert done
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(image_files.Image, "open", None)
    again = ParquetImages(folder=tmp_path / "b").load("train", tmp_path / "cache")
    assert again.digest == first.digest


def test_one_other_pixel_or_a_harmed_cache_is_decoded_anew(tmp_path):
    cache = tmp_path / "cache"
    source = parquet(tmp_path / "a")
    source.load("train", cache)
    (file,) = (cache / "images").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert torch.equal(source.load("train", cache).pixels, as_images(pixels()))
    other = pixels()
    other[3, 4, 5, 1] ^= 1
    assert torch.equal(parquet(tmp_path / "a", other).load("train", cache).pixels, as_images(other))


def test_relabeled_pictures_keep_their_new_labels_though_the_pixels_are_cached(tmp_path):
    assert parquet(tmp_path / "a", labels=[0] * 6).load("train", tmp_path).labels.tolist() == [0] * 6
    assert parquet(tmp_path / "a", labels=[7] * 6).load("train", tmp_path).labels.tolist() == [7] * 6


def test_other_columns_classes_and_sizes_can_be_named(tmp_path):
    source = parquet(tmp_path, pixels(2, 8), image='the "image"', label="fine_label")
    fault(
        source,
        tmp_path / "train-0.parquet",
        'no column img; there are the "image", fine_label: set data.image_column',
    )
    source = override(source, ['image_column=the "image"'])
    fault(source, tmp_path / "train-0.parquet", "no column label.*set data.label_column")
    source = override(source, ["label_column=fine_label", "size=8", "classes=[cat, dog]", "name=pets"])
    images = source.load("train")
    assert torch.equal(images.pixels, as_images(pixels(2, 8)))
    assert (images.classes, images.description) == (("cat", "dog"), "pets")


def test_columns_of_other_types_are_named(tmp_path):
    file = tmp_path / "train-0.parquet"
    fault(
        parquet(tmp_path, kinds=("varchar", "bigint")),
        file,
        "column img is VARCHAR, expected a struct with bytes",
    )
    fault(
        parquet(tmp_path, labels=["cat"] * 6, kinds=("", "varchar")),
        file,
        "label is VARCHAR, expected whole numbers",
    )


def test_damaged_missing_and_empty_files_are_named(tmp_path):
    source = parquet(tmp_path)
    file = tmp_path / "train-0.parquet"
    whole = file.read_bytes()
    for harmed in (
        whole[: len(whole) // 2],
        b"",
        b"no parquet at all",
        whole[:4] + bytes(len(whole) - 12) + whole[-8:],
    ):
        file.write_bytes(harmed)
        fault(source, file, "damaged or not a Parquet file, fetch it again")
    fault(source, tmp_path, "no test-\\*.parquet there", "test")
    fault(ParquetImages(folder=tmp_path / "nowhere"), tmp_path / "nowhere", "no train-\\*.parquet there")
    with pytest.raises(UserError, match="no images in the files"):
        parquet(tmp_path, pixels(0)).load("train")


def test_a_row_at_fault_is_named_with_what_it_is_and_what_it_should_be(tmp_path):
    file, good = tmp_path / "train-0.parquet", encoded(pixels()[0])
    wide = encoded(np.zeros((28, 30, 3), np.uint8))
    for picture, label, match in (
        (wide, 0, "row 1: image of 28 x 30 pixels, expected 32 x 32: set data.size"),
        (None, 0, "row 1: no picture"),
        (b"nothing", 0, "row 1: undecodable image: not a PNG or JPEG file"),
        (good[:-400], 0, "row 1: undecodable image: .*truncated"),
        (encoded(pixels()[0], "BMP"), 0, "row 1: undecodable image: not a PNG or JPEG file"),
        (good, 10, "row 1: label 10, but there are 10 classes"),
        (good, -1, "row 1: label -1"),
        (good, None, "row 1: label None"),
    ):
        fault(parquet(tmp_path, pictures=[good, picture], labels=[0, label]), file, match)


def folder(path, split="train", classes=("cat", "dog"), suffix=".png", form="PNG"):
    for index, name in enumerate(classes):
        (path / split / name).mkdir(parents=True)
        for number, array in enumerate(pixels(2, seed=index)):
            (path / split / name / f"{number}{suffix}").write_bytes(encoded(array, form))
    return FolderImages(folder=path)


def test_a_folder_of_class_folders_is_read_by_name(tmp_path):
    source = folder(tmp_path / "pets")
    folder(tmp_path / "pets", "test", ("dog",), ".JPEG", "JPEG")
    (tmp_path / "pets" / "train" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "pets" / "train" / ".hidden").mkdir()
    train, test = source.load("train"), source.load("test")
    assert torch.equal(train.pixels, as_images(np.concatenate([pixels(2, seed=0), pixels(2, seed=1)])))
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert test.labels.tolist() == [1, 1]  # a class that the test does not show does not shift the others
    assert train.classes == test.classes == ("cat", "dog")
    assert (train.description, test.description) == ("pets", "pets, JPEG re-encoded")


def test_faults_of_a_folder_are_named(tmp_path):
    source = folder(tmp_path)
    fault(source, tmp_path / "test", "no class folders", "test")
    (tmp_path / "train" / "eel").mkdir()
    fault(source, tmp_path / "train" / "eel", "no PNG or JPEG files there")
    (tmp_path / "train" / "eel").rmdir()
    folder(tmp_path, "test", ("fox",))
    fault(source, tmp_path / "test" / "fox", "no such class in .*train", "test")
    small = tmp_path / "train" / "dog" / "1.png"
    Image.new("RGB", (16, 32)).save(small)
    fault(source, small, "image of 32 x 16 pixels, expected 32 x 32")
    small.write_bytes(b"\xff\xd8 cut")
    fault(source, small, "undecodable image")


@needs_real
def test_the_real_cifar_has_its_published_colors_and_classes(tmp_path):
    images = ParquetImages(folder=Path(REAL)).load("test", tmp_path)
    assert images.description == "CIFAR-10, JPEG re-encoded"
    assert images.labels.bincount().tolist() == [1000] * 10
    shades = images.pixels.double().div(255)
    mean, std = shades.mean((0, 2, 3)), shades.std((0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(std, torch.tensor([0.2470, 0.2435, 0.2616]).double(), atol=0.01, rtol=0)
    blue = shades[:, 2].mean((1, 2)) - shades[:, 0].mean((1, 2))
    by_class = {name: blue[images.labels == index].mean().item() for index, name in enumerate(images.classes)}
    assert sorted(by_class, key=by_class.__getitem__)[-2:] == ["ship", "airplane"]
    assert by_class["airplane"] > 0.03
