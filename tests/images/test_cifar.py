import pickle

import numpy as np
import pytest
import torch

from messages import is_one_line_about
from ups.images.cifar import CifarBatches
from ups.types import UserError

TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


def batch(seed, num=4):
    rng = np.random.default_rng(seed)
    return {
        b"batch_label": b"training batch",
        b"labels": rng.integers(0, 10, num).tolist(),
        b"data": rng.integers(0, 256, (num, 3072), dtype=np.uint8),
        b"filenames": [b"camion_s_000148.png"] * num,
    }


def write(path, content, protocol=2):
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_five_batches_are_joined_in_their_order_and_the_test_is_kept_apart(tmp_path, protocol):
    for seed, name in enumerate([*TRAIN, "test_batch"]):
        write(tmp_path / name, batch(seed), protocol)
    train, test = (CifarBatches(folder=tmp_path).load(split) for split in ("train", "test"))
    assert train.pixels.shape == (20, 3, 32, 32)
    expected = np.concatenate([batch(seed)[b"data"] for seed in range(5)])
    assert np.array_equal(train.pixels.flatten(1).numpy(), expected)
    assert train.labels.tolist() == [label for seed in range(5) for label in batch(seed)[b"labels"]]
    assert np.array_equal(test.pixels.flatten(1).numpy(), batch(5)[b"data"])
    assert test.labels.tolist() == batch(5)[b"labels"]
    assert (train.description, train.classes[0], train.classes[9]) == ("CIFAR-10", "airplane", "truck")


def test_a_row_of_bytes_is_red_then_green_then_blue_each_row_by_row(tmp_path):
    data = np.zeros((1, 3072), np.uint8)
    data[0, 1024 + 2 * 32 + 5] = 77
    write(tmp_path / "test_batch", {"data": data, "labels": [6]})
    images = CifarBatches(folder=tmp_path).load("test")
    assert images.pixels.nonzero().tolist() == [[0, 1, 2, 5]]
    assert torch.equal(images.labels, torch.tensor([6]))


def test_faults_are_named(tmp_path):
    good = batch(0)
    path = tmp_path / "test_batch"
    for content, match in (
        ({b"labels": [1]}, "no data and labels in it; it is no batch of CIFAR-10"),
        ([1, 2], "no data and labels in it"),
        (None, "no data and labels in it"),
        (good | {b"data": [1, 2]}, "data is list, expected an array of rows of 3072 bytes"),
        (
            good | {b"data": good[b"data"][:, :3000]},
            r"data is \(4, 3000\), expected an array of rows of 3072 bytes",
        ),
        (good | {b"data": good[b"data"][:0]}, r"data is \(0, 3072\)"),
        (good | {b"labels": [1, 2, 3]}, "labels are not 4 numbers from 0 to 9"),
        (good | {b"labels": [1, 2, 3, 10]}, "labels are not 4 numbers"),
        (good | {b"labels": [1, 2, 3, None]}, "labels are not 4 numbers"),
        (
            good | {b"data": good[b"data"].astype(np.float32)},
            "refused, it holds more than data: a call of 'numpy.dtype'",
        ),
    ):
        write(path, content)
        with pytest.raises(UserError, match=match) as error:
            CifarBatches(folder=tmp_path).load("test")
        assert is_one_line_about(error, path)
    with pytest.raises(UserError, match="data_batch_1: no such file"):
        CifarBatches(folder=tmp_path).load("train")
