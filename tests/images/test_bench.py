import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tiny_images import tiny
from ups import checkpoint
from ups.config import override
from ups.evaluation.rows import query
from ups.images import bench as image_bench
from ups.images import sampler_oracle
from ups.images.bench import run_images
from ups.images.image_files import FolderImages, ParquetImages
from ups.types import UserError

UNWATCHED = ["milestones.every=1000", "milestones.num_vectors=0", "milestones.num_samples=0"]


def weights(folder):
    return load_file(folder / "stages/denoiser/model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def losses(folder):
    lines = (folder / "stages/denoiser/log.jsonl").read_text().splitlines()
    return {row["update"]: row["loss"] for row in map(json.loads, lines)}


@pytest.fixture
def train_only(monkeypatch):
    """End a run as soon as it is trained."""

    class Trained(Exception):  # noqa: N818
        pass

    def stop(*_):
        raise Trained

    monkeypatch.setattr(image_bench, "sweep", stop)

    def train(settings, folder):
        with pytest.raises(Trained):
            run_images(settings, folder)
        return folder

    return train


def test_probes_milestones_and_samples_leave_training_bit_identical(
    tiny_image_run, train_only, pictures, tmp_path
):
    plain = train_only(override(tiny(pictures), UNWATCHED), tmp_path / "plain")
    assert same(weights(tiny_image_run), weights(plain))
    assert losses(tiny_image_run) == losses(plain)
    raw = [checkpoint.load(run / "stages/denoiser/raw").state_dict() for run in (tiny_image_run, plain)]
    assert same(*raw)
    assert not same(raw[0], weights(plain))


def test_two_seeds_differ_at_every_update_also_after_the_first_milestone(
    tiny_image_run, train_only, pictures, tmp_path
):
    other = losses(train_only(override(tiny(pictures), ["seed=1"]), tmp_path / "other"))
    one = losses(tiny_image_run)
    assert one.keys() == other.keys() == set(range(1, 19))
    assert all(one[update] != other[update] for update in one)
    assert len(set(one.values())) == len(one)  # and nothing is drawn twice


def test_a_run_stopped_after_training_ends_with_the_same_rows(
    tiny_image_run, train_only, pictures, tmp_path, monkeypatch
):
    settings = tiny(pictures)
    train_only(settings, tmp_path)
    monkeypatch.undo()
    run_images(settings, tmp_path)
    values = "select * from rows where metric not like '%seconds' order by all"
    columns = ("protocol", "stepper", "metric", "field", "trajectory", "value")
    found, again = (query(path / "rows.parquet", values) for path in (tiny_image_run, tmp_path))
    assert all(np.array_equal(found[name], again[name]) for name in columns)


def test_a_finished_run_is_not_run_again(tiny_image_run, pictures, monkeypatch, capsys):
    monkeypatch.setattr(image_bench, "train", lambda *_: pytest.fail("trained again"))
    run_images(tiny(pictures), tiny_image_run)
    assert "finished before" in capsys.readouterr().err


def test_the_folder_holds_the_evidence(tiny_image_run):
    record = json.loads((tiny_image_run / "run.json").read_text())
    assert record["bench"] == "images"
    assert record["data"]["images"] == {"train": 60, "test": 40}
    assert record["weighting"]["mean_weight"]["noise error, Min-SNR 5"] == pytest.approx(0.91307, abs=1e-4)
    found = query(tiny_image_run / "rows.parquet", "select distinct protocol, stepper, metric from rows")
    points = set(zip(*found.values(), strict=True))
    protocol = next(name for name, _, metric in points if metric == "num_calls")
    assert protocol.startswith("classifier/")
    assert protocol.endswith(", 20 against 40")
    for name in ("ddim 5 ema", "heun 8 raw", "noise", "train", "blurred", "mean image"):
        assert (protocol, name, "frechet") in points
    for weights_name in ("ema", "raw"):
        for objective in ("unweighted", "Min-SNR 5"):
            assert (f"curvature, noise error, {objective}", weights_name, "trace") in points
        assert ("denoising", weights_name, "unweighted_loss") in points
        assert ("cost", weights_name, "images_seen") in points
    (curvature, *_) = json.loads((tiny_image_run / "curvature.json").read_text())
    assert curvature["probe_parts"].keys() == {"data", "noise", "times", "seed", "num_vectors"}


def refused(settings, folder, match):
    with pytest.raises(UserError, match=match) as error:
        run_images(settings, folder)
    assert "\n" not in str(error.value)
    assert not (folder / "run.json").exists()


def test_a_sampler_that_fails_the_oracle_is_refused_before_anything_is_trained(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.setitem(
        sampler_oracle.SAMPLERS, "heun", lambda denoiser, _: lambda x_t, t, s: denoiser(x_t, t) + 0.5 * x_t
    )
    refused(tiny(pictures), tmp_path, "oracle.*heun with 5 steps")
    monkeypatch.undo()
    refused(override(tiny(pictures), ["sweep.steps=[1]"]), tmp_path, "ddim with 1 steps.*too few steps")


def test_what_cannot_be_measured_is_said_in_one_line_before_the_training(pictures, tmp_path):
    refused(
        override(tiny(pictures), ["sweep.num_samples=8"]), tmp_path, "8 samples are too few for 8 features"
    )
    refused(override(tiny(pictures), ["sweep.num_samples=200"]), tmp_path, "200 samples are more than the 60")
    missing = ["features.kind=inception", f"features.weights={tmp_path / 'none.safetensors'}"]
    refused(
        override(tiny(pictures), [*missing, "sweep.num_samples=2100"]),
        tmp_path,
        "features.weights.*cannot read",
    )


def test_images_that_are_damaged_or_of_another_size_are_said_in_one_line(tmp_path):
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1 not really")
    damaged = tiny().model_copy(update={"data": ParquetImages(folder=tmp_path)})
    refused(damaged, tmp_path / "run", r"train-0\.parquet: damaged")
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        Image.new("RGB", (16, 32)).save(tmp_path / split / "cat" / "a.png")
    large = tiny().model_copy(update={"data": FolderImages(folder=tmp_path)})
    refused(large, tmp_path / "run", r"a\.png: image of 32 x 16 pixels, expected 32 x 32")
