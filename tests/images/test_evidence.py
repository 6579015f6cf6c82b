import pytest

from ups.images.evidence import ANCHORS, Distance, ImageEvidence
from ups.reports.run_folder import read_run


@pytest.fixture(scope="module")
def evidence(tiny_image_run):
    return ImageEvidence(read_run(tiny_image_run))


def test_the_anchors_come_first_and_every_point_of_the_sweep_has_its_calls(evidence):
    assert [each.name for each in evidence.distances[:4]] == list(ANCHORS)
    points = evidence.distances[4:]
    assert [(each.sampler, each.num_steps, each.num_calls, each.weights) for each in points] == [
        ("ddim", 5, 5, "ema"), ("ddim", 8, 8, "ema"), ("heun", 5, 9, "ema"), ("heun", 8, 15, "ema"),
        ("ddim", 5, 5, "raw"), ("ddim", 8, 8, "raw"), ("heun", 5, 9, "raw"), ("heun", 8, 15, "raw"),
    ]  # fmt: skip
    assert evidence.best.frechet == min(each.frechet for each in points)
    assert evidence.frechet == "frechet"
    assert evidence.num_samples == "20"


def test_the_canonical_objective_comes_first_for_both_kinds_of_weights(evidence):
    assert [(each.objective, each.weights) for each in evidence.probed] == [
        (objective, weights)
        for objective in ("noise error, unweighted", "noise error, Min-SNR 5")
        for weights in ("ema", "raw")
    ]
    figures = evidence.probed[0].figures
    assert figures["trace_per_loss"] == pytest.approx(figures["trace"] / figures["loss"])
    levels = evidence.level_traces["noise error, unweighted", "ema"]
    assert sum(levels.values()) / 2 == pytest.approx(figures["trace"], rel=1e-3)


def test_the_losses_run_from_much_noise_to_little(evidence):
    unweighted = evidence.losses["ema", "unweighted_loss"]
    names = list(unweighted)
    assert (names[0], names[-1]) == ("-9 to -6", "6 to 9")
    assert unweighted == evidence.losses["ema", "weighted_loss"]  # trained unweighted


def test_pictures_of_samples_and_of_milestones_are_there(evidence):
    arrays = evidence.arrays
    assert arrays["sweep/heun 8 raw"].shape == (20, 3, 8, 8)
    assert arrays["strip/ddim 8 ema"].shape[1:] == (9, 3, 8, 8)
    assert [name for name in arrays if name.startswith("milestone/")] == [
        "milestone/6", "milestone/12", "milestone/18",
    ]  # fmt: skip


def test_more_steps_are_worse_only_beyond_two_standard_errors(evidence):
    def point(num_steps, kid, error=0.01, sampler="ddim"):
        return Distance(f"{sampler} {num_steps} ema", sampler, num_steps, "ema", num_steps, 1.0, kid, error)

    planted = ImageEvidence(evidence.run)
    worse = [point(5, 0.10), point(10, 0.12), point(20, 0.16)]  # the errors of a pair add up to 0.014
    fine = [point(5, 0.3, sampler="heun"), point(10, 0.2, sampler="heun")]
    planted.__dict__["distances"] = [*worse, *fine]
    assert planted.setbacks == {"ddim": [(5, 20), (10, 20)], "heun": []}
