import shutil

import pytest

from tiny_images import weightings
from toy_study import finish, study
from ups.images.evidence import ImageEvidence
from ups.reports.run_folder import read_run
from ups.studies.folder import read_study
from ups.studies.images import write_study_images
from ups.studies.study import begin, cells


@pytest.fixture(scope="module")
def folder(tiny_image_run, pictures, tmp_path_factory):
    """A study whose cells are copies of one run, the distances of the variant a fifth smaller."""
    definition, folder = weightings(pictures), tmp_path_factory.mktemp("studies") / "images"
    begin(definition, folder)
    for cell in cells(definition):
        shutil.copytree(tiny_image_run, folder / cell.name)
    return folder


@pytest.fixture
def found(folder, tmp_path, monkeypatch):
    distances = ImageEvidence.distances.func

    def planted(self):
        variant, _, seed = self.run.path.name.partition("-seed")
        factor = (0.8 if variant == "min_snr" else 1.0) * (1 + 0.1 * int(seed or 0))
        return [
            each._replace(frechet=factor * each.frechet) if each.sampler else each for each in distances(self)
        ]

    monkeypatch.setattr(ImageEvidence, "distances", property(planted))
    return write_study_images(read_study(folder), tmp_path)


def test_every_variant_has_a_line_for_every_point_and_the_anchors_stand_above(found, tiny_image_run):
    assert [anchor.name for anchor in found.anchors] == ["train", "blurred", "mean image", "noise"]
    assert found.num_samples == "20"
    points = [(line.point.name, line.variant) for line in found.lines]
    names = [each.name for each in ImageEvidence(read_run(tiny_image_run)).distances if each.sampler]
    assert points == [(name, variant) for name in names for variant in ("base", "min_snr")]


def test_the_means_are_over_seeds_and_the_change_is_paired(found, tiny_image_run):
    truth = {each.name: each for each in ImageEvidence(read_run(tiny_image_run)).anchors.values()}
    assert found.anchors[0].frechet == truth["train"].frechet
    for base, variant in zip(found.lines[::2], found.lines[1::2], strict=True):
        assert base.change is None
        assert variant.frechet.mean == pytest.approx(0.8 * base.frechet.mean)
        assert base.frechet.low < base.frechet.mean < base.frechet.high  # the seeds differ by a tenth
        assert variant.change == pytest.approx((-0.2, -0.2, -0.2))  # but not in what the variant changes


def test_losses_and_samples_are_drawn(found, tmp_path):
    assert [picture.stem for picture in found.pictures] == ["loss_levels", "samples"]
    for picture in found.pictures:
        assert (tmp_path / f"{picture.stem}.png").stat().st_size > 2000
    assert all(f">{name}<" in found.pictures[1].svg for name in ("base", "min_snr"))


def test_a_study_of_other_runs_has_none(tmp_path):
    finish(study(), tmp_path / "plain")
    assert write_study_images(read_study(tmp_path / "plain"), tmp_path) is None
