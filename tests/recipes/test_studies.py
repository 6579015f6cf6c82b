from ups.recipes import burgers
from ups.recipes.studies import burgers_optimizer
from ups.studies.confounds import differences


def test_the_variants_differ_from_the_base_in_the_optimizer_alone():
    study = burgers_optimizer()
    base = study.settings("base", 0).model_dump(mode="json")
    paths = {
        name: {each.path for each in differences(base, study.settings(name, 0).model_dump(mode="json"))}
        for name in study.variants
    }
    assert paths == {
        "adamw": {"training.optimizer"},
        "adamw_twice_the_rate": {"training.optimizer", "training.learning_rate"},
    }


def test_the_study_is_paired_and_short():
    study = burgers_optimizer()
    assert len(study.seeds) >= 3
    seconds = study.base.training.seconds * len(study.seeds) * len(study.assignments)
    assert seconds <= 240
    assert study.base.data.equation == burgers.quick().data.equation
