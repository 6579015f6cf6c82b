import copy

import pytest

from ups.studies.confounds import (
    ABSENT,
    Confound,
    Difference,
    confounds,
    differences,
    is_declared,
    settings_diff,
)


def record(seed=0, **changes):
    made = {
        "settings": {
            "seed": seed,
            "training": {"rate": 1.0, "betas": [0.9, 0.99]},
            "operator": {"kind": "a"},
        },
        "seed": seed,
        "versions": {"torch": "2.6"},
        "machine": {"threads": 1},
        "data": {"digest": "d1", "trajectories": {"test": 4}},
    }
    made = copy.deepcopy(made)
    for path, value in changes.items():
        *parents, leaf = path.split("/")
        node = made
        for key in parents:
            node = node[key]
        node[leaf] = value
    return made


def test_distances_between_other_features_are_a_confound():
    (found,) = confounds([record(features="classifier/1")], [record(features="classifier/2")], ())
    assert found.path == "features"


def test_equal_trees_have_no_differences():
    assert differences(record(), record()) == []


def test_every_leaf_that_differs_is_found_by_its_path_and_nothing_else():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": None, "gone": {"x": 1}}
    variant = {"a": {"b": 1, "c": [1, 3]}, "d": {"e": 2}, "new": 5}
    assert set(map(repr, differences(base, variant))) == {
        repr(Difference("a.c", [1, 2], [1, 3])),
        repr(Difference("d", None, {"e": 2})),
        repr(Difference("gone", {"x": 1}, ABSENT)),
        repr(Difference("new", ABSENT, 5)),
    }


@pytest.mark.parametrize(
    ("path", "assignment", "expected"),
    [
        ("training.rate", "training.rate=2", True),
        ("training.rate", "training={rate: 2}", True),
        ("training.rate", "training.rat=2", False),
        ("training.rate_of_change", "training.rate=2", False),
        ("training.betas", "training.rate=2", False),
        ("operator.width", "operator.kind=b", True),
        ("operator.kind", "operator.kind=b", True),
        ("operators.width", "operator.kind=b", False),
        ("operator.width", "operator.depth=2", False),
    ],
)
def test_an_assignment_declares_itself_its_group_and_what_follows_from_a_kind(path, assignment, expected):
    assert is_declared(path, ["x=1", assignment]) is expected


def test_what_is_declared_is_no_confound_and_the_seed_is_none_either():
    base, variant = record(0), record(0, **{"settings/training/rate": 2.0})
    assert confounds([base], [variant], ["training.rate=2.0"]) == []
    assert confounds([base], [variant], ["training.betas=[1]"]) == [Confound("training.rate", 1.0, 2.0, (0,))]
    assert settings_diff(record(0), record(1)) == []


@pytest.mark.parametrize(
    ("place", "value", "path"),
    [
        ("settings/training/betas", [0.5, 0.9], "training.betas"),
        ("settings/new", 3, "new"),
        ("versions/torch", "2.7", "versions.torch"),
        ("machine/threads", 2, "machine.threads"),
        ("data/digest", "d2", "data.digest"),
    ],
)
def test_an_undeclared_difference_is_named_with_the_seeds_that_have_it(place, value, path):
    bases = [record(seed) for seed in (0, 1, 2)]
    variants = [record(0), record(1, **{place: value}), record(2, **{place: value})]
    (found,) = confounds(bases, variants, ["training.rate=2.0"])
    assert (found.path, found.variant, found.seeds) == (path, value, (1, 2))


def test_what_differs_between_seeds_but_not_within_a_pair_is_no_confound():
    bases, variants = ([record(0), record(1, **{"machine/threads": 8})] for _ in range(2))
    assert confounds(bases, variants, []) == []


def test_one_path_with_two_values_is_two_confounds():
    variants = [record(0, **{"machine/threads": 2}), record(1, **{"machine/threads": 4})]
    found = confounds([record(0), record(1)], variants, [])
    assert [(each.variant, each.seeds) for each in found] == [(2, (0,)), (4, (1,))]


def test_records_that_say_nothing_about_machine_or_data_are_compared_all_the_same():
    bare = {"settings": {"seed": 0}, "seed": 0}
    assert confounds([bare], [bare], []) == []
