import subprocess
import sys
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from ups.config import Settings, digest, merge, override, read_tree
from ups.types import UserError


class Small(Settings):
    kind: Literal["small"] = "small"
    width: PositiveInt = 8


class Large(Settings):
    kind: Literal["large"] = "large"
    depth: PositiveInt = 2
    width: PositiveInt = 64


class Optimizer(Settings):
    learning_rate: PositiveFloat = 1e-3


class Run(Settings):
    network: Annotated[Small | Large, Field(discriminator="kind")] = Small()
    training: Optimizer = Optimizer()
    baselines: dict[str, Annotated[Small | Large, Field(discriminator="kind")]] = {"first": Small()}
    seed: int = 0


def test_an_override_reaches_its_setting_and_no_other():
    changed = override(Run(), ["training.learning_rate=1e-4", "seed=3"])
    assert changed == Run(training=Optimizer(learning_rate=1e-4), seed=3)


def test_choosing_another_kind_drops_the_settings_of_the_old_kind():
    changed = override(Run(network=Small(width=9)), ["network.kind=large", "network.depth=5"])
    assert changed.network == Large(depth=5, width=64)


def test_a_setting_inside_a_dictionary_can_be_overridden():
    assert override(Run(), ["baselines.first.width=4"]).baselines["first"].width == 4


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.learning_rat=1", "did you mean 'learning_rate'"),
        ("trainin.learning_rate=1", "did you mean 'training'"),
        ("network.widht=4", "did you mean 'width'"),
        ("baselines.first.widht=4", "did you mean 'width'"),
        ("training.learning_rate=abc", "setting 'training.learning_rate': .*number.*'abc'"),
        ("training.learning_rate=-1", "setting 'training.learning_rate': .*greater than 0.*-1"),
        ("network.width=-4", "setting 'network.width': .*greater than 0"),
        ("network.kind=medium", "kind must be one of 'small', 'large'"),
        ("seed", "key.path=value"),
        ("seed.deeper=1", "is a value, not a group"),
    ],
)
def test_a_bad_assignment_is_one_line_that_names_the_setting(assignment, message):
    with pytest.raises(UserError, match=message) as error:
        override(Run(), [assignment])
    assert "\n" not in str(error.value)
    assert "pydantic" not in str(error.value)


def test_settings_that_do_not_fit_together_are_told_without_an_empty_name():
    class Together(Run):
        @model_validator(mode="after")
        def _fit(self):
            if self.seed < 0:
                raise ValueError("a negative seed has no stream")
            return self

    with pytest.raises(UserError, match=r"^settings: a negative seed has no stream$"):
        override(Together(), ["seed=-1"])


def test_all_faults_are_told_at_once():
    with pytest.raises(UserError, match="seed") as error:
        override(Run(), ["seed=x", "training.learning_rate=y"])
    assert "training.learning_rate" in str(error.value)


def test_merge_lays_a_tree_over_the_settings():
    tree = {"network": {"depth": 7, "kind": "large"}, "seed": 1}
    assert merge(Run(), tree) == Run(network=Large(depth=7), seed=1)


def test_settings_are_frozen_and_refuse_unknown_names():
    with pytest.raises(ValueError, match="frozen"):
        Run().seed = 1
    with pytest.raises(ValueError, match="extra"):
        Run(sede=1)


def test_the_digest_is_equal_in_every_process_and_moves_with_every_setting():
    code = "from ups.config import digest; print(digest({'b': 1, 'a': [1, 2.5]}))"
    outside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outside.stdout.strip() == digest({"a": [1, 2.5], "b": 1})
    assert digest(Run()) != digest(Run(seed=1))


def test_yaml_reads_scientific_notation_as_a_number(tmp_path):
    (tmp_path / "run.yaml").write_text("training:\n  learning_rate: 1e-3\n")
    assert merge(Run(), read_tree(tmp_path / "run.yaml")).training.learning_rate == 1e-3


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "\x00"])
def test_a_malformed_file_is_the_users_error(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=r"run\.yaml") as error:
        read_tree(tmp_path / "run.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_tree(tmp_path / "none.yaml")


class Budget(Settings):
    alternatives = ("updates", "seconds")
    updates: int | None = None
    seconds: float | None = None


class Trained(Settings):
    budget: Budget = Budget(updates=5)


def test_of_alternatives_the_one_that_is_set_replaces_the_other():
    assert override(Trained(), ["budget.seconds=3"]).budget == Budget(seconds=3)
    assert merge(Trained(), {"budget": {"seconds": 3}}).budget == Budget(seconds=3)
    assert override(Trained(), ["budget.seconds=null"]).budget == Budget(updates=5)


def test_both_alternatives_in_one_breath_are_both_set():
    assert override(Trained(), ["budget.seconds=3", "budget.updates=2"]).budget == Budget(
        seconds=3, updates=2
    )


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(UserError, match="finite number"):
        override(Trained(), [f"budget.seconds={value}"])


def test_a_kind_and_its_settings_come_in_any_order():
    assert override(Run(), ["network.depth=5", "network.kind=large"]).network == Large(depth=5)


def test_an_empty_mapping_replaces():
    assert override(Run(), ["baselines={}"]).baselines == merge(Run(), {"baselines": {}}).baselines == {}


def test_a_long_wrong_value_is_cut():
    with pytest.raises(UserError) as error:
        override(Run(), [f"seed={'x' * 5000}"])
    assert len(str(error.value)) < 400


def test_what_was_null_is_descended_into_as_deep_as_it_goes():
    class Inner(Settings):
        weights: dict[str, float] = {}

    class Outer(Settings):
        inner: Inner | None = None

    assert override(Outer(), ["inner.weights.residual=2"]).inner.weights == {"residual": 2.0}
    with pytest.raises(UserError, match="did you mean 'weights'"):
        override(Outer(), ["inner.weigths.residual=2"])
