import pytest

from ups.config import override
from ups.recipes import claims
from ups.recipes.find import describe_studies
from ups.runs.pipeline import ground, load, rehearse

STUDIES = [name for name, _ in describe_studies() if name.startswith("claims.")]


@pytest.mark.parametrize("name", STUDIES)
def test_every_variant_can_be_built_and_has_what_is_judged(name):
    study = getattr(claims, name.partition(".")[2])()
    assert len(study.seeds) >= 3
    for variant in study.assignments:
        settings = override(study.settings(variant, 0), ["data.num_trajectories=20"])
        rehearse(settings.rungs, ground(settings, load(settings)))
        rungs = {spec.name for spec in settings.rungs}
        assert {study.metric.stepper, *study.pays} - {"operator"} <= rungs, variant


def test_light_is_its_three_changes_together():
    study = claims.corrector_training()
    singly = [study.variants[name][0] for name in ("fewer_updates", "lower_rate", "more_decay")]
    assert study.variants["light"] == tuple(singly)
