import pytest

from toy_study import Toy, changed, study
from ups.studies.study import Cell, Design, Study, begin, cells, read_definition
from ups.types import UserError

BAD = {
    "a key that is no setting": ({"variants": {"a": ("head.widht=3",)}}, "did you mean 'width'"),
    "a group that is no setting": ({"variants": {"a": ("haed.width=3",)}}, "did you mean 'head'"),
    "a wrong type": ({"variants": {"a": ("head.width=wide",)}}, "setting 'head.width'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_variant_that_cannot_be_made_is_one_line_before_anything_is_written(case):
    changes, message = BAD[case]
    with pytest.raises(UserError, match=message) as error:
        study(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("variants.same=[head.width=4]", "variant 'same' is the base itself"),
        ("variants.lucky=[seed=3, head.width=6]", "sets the seed"),
        ("variants.base=[head.width=6]", "cannot name a variant"),
        ("variants={'../up': [head.width=6]}", "cannot name a variant"),
        ("variants={}", "setting 'variants'"),
        ("seeds=[]", "setting 'seeds'"),
        ("seeds=[1,1]", "twice"),
        ("seed=[1,2]", "did you mean 'seeds'"),
        ("base.head.widht=3", "did you mean 'width'"),
        ("decision.confidence=95", "less than 1"),
        ("metric.metric=correlation_time", "smaller_is_better=false"),
        ("also=[{protocol: pdebench, stepper: operator, metric: nrmse}]", "a metric stands here twice"),
    ],
)
def test_a_definition_that_means_nothing_is_one_line(assignment, message):
    with pytest.raises(UserError, match=message) as error:
        changed(study(), assignment)
    assert "\n" not in str(error.value)


def test_a_study_that_does_not_say_the_type_of_its_base_is_told_so():
    with pytest.raises(UserError, match=r"Study\[Run\]"):
        Study(question="?", base=Toy(), variants={"a": ("effect=0.1",)})


def test_the_base_can_be_changed_for_all_variants():
    wide = changed(study(), "base.head.bias=true")
    assert all(wide.settings(*cell).head.bias for cell in cells(wide))
    assert wide.settings("nothing", 1) == Toy.model_validate({"head": {"width": 5, "bias": True}, "seed": 1})


def test_seeds_are_ascending_and_the_base_comes_first():
    design = Design(question="?", variants={"a": ("x=1",)}, seeds=(7, 2))
    assert list(cells(design)) == [Cell("base", 2), Cell("a", 2), Cell("base", 7), Cell("a", 7)]
    assert Cell("a", 7).name == "a-seed7"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_definition_is_one_line(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(UserError, match=r"study\.json: damaged"):
        begin(study(), tmp_path)


def test_an_output_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        begin(study(), tmp_path / "file")
    with pytest.raises(UserError, match="not the folder of a study"):
        read_definition(tmp_path)
