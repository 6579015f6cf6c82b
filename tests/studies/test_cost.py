import re

import toy_study
from tiny_recipe import kicked, tiny
from tiny_study import correctors
from ups.config import override
from ups.studies.cost import say, trainings


def keys(settings):
    return {training.rung: training.key for training in trainings(settings)}


def test_a_training_is_shared_where_all_that_it_is_made_from_is_equal():
    base = keys(kicked())
    assert {"operator", "corrector", "student", "crps_operator"} <= base.keys()
    corrector = keys(override(kicked(), ["corrector_training.updates=31"]))
    assert {name for name in base if base[name] != corrector[name]} == {"corrector", "student"}
    operator = keys(override(kicked(), ["operator.width=9"]))
    assert {name for name in base if base[name] != operator[name]} == {"operator", "corrector", "student"}
    for change in ("seed=1", "data.num_trajectories=41"):
        assert not set(base.values()) & set(keys(override(kicked(), [change])).values())
    assert keys(tiny()) == keys(override(tiny(), ["num_members=5"]))


def test_a_study_says_what_it_will_train_before_it_begins():
    text = say(correctors(), at_once=2)
    assert text.startswith("2 runs, 2 at a time; 3 trainings")
    assert "(operator 1, corrector 2)" in text
    assert re.search(r"about \d", text)
    assert say(toy_study.study(), 1) == "9 runs, 1 at a time"
