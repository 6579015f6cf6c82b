from pathlib import Path

import pytest

import tiny_recipe
import tiny_study
from ups.recipes import burgers, studies
from ups.recipes.find import describe_recipes, describe_studies, find_run, find_study
from ups.runs.kinds import KINDS
from ups.studies.study import Study
from ups.types import UserError

TINY = Path(tiny_recipe.__file__)
TINY_STUDY = Path(tiny_study.__file__)


def test_a_name_finds_its_function():
    assert find_run("burgers.quick") == ("burgers.quick", burgers.quick())


def test_a_python_file_gives_the_settings_that_its_function_returns():
    assert find_run(f"{TINY}:tiny") == ("tiny", tiny_recipe.tiny())


def test_a_settings_file_starts_from_a_recipe_and_says_what_differs(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: burgers.quick\ntraining: {seconds: 5}\nseed: 7\n")
    name, run = find_run(str(tmp_path / "mine.yaml"))
    assert name == "mine"
    assert run.training.seconds == 5
    assert run == burgers.quick().model_copy(update={"training": run.training, "seed": 7})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("burgers.quik", "did you mean 'burgers.quick'"),
        ("nothing", "no such recipe"),
        ("missing.py:run", r"missing\.py: no such file"),
        (f"{TINY}:tinny", "did you mean 'tiny'"),
        (
            f"{TINY}:broken",
            r"must return a ups\.runs\.settings\.Run or ups\.images\.bench\.ImageRun, not int",
        ),
        ("missing.yaml", r"missing\.yaml: No such file"),
    ],
)
def test_what_is_not_a_recipe_is_said_in_one_line(recipe, message):
    with pytest.raises(UserError, match=message) as error:
        find_run(recipe)
    assert "\n" not in str(error.value)


def test_a_settings_file_without_a_start_is_refused(tmp_path):
    (tmp_path / "mine.json").write_text('{"seed": 1}')
    with pytest.raises(UserError, match="extends"):
        find_run(str(tmp_path / "mine.json"))


def test_a_settings_file_extends_its_neighbour_from_wherever_it_is_named(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "base.yaml").write_text("extends: burgers.quick\nseed: 3\n")
    (tmp_path / "mine" / "child.yaml").write_text("extends: base.yaml\nnum_members: 4\n")
    (tmp_path / "mine" / "loop.yaml").write_text("extends: loop.yaml\n")
    child = find_run(str(tmp_path / "mine" / "child.yaml"))[1]
    assert (child.seed, child.num_members) == (3, 4)
    with pytest.raises(UserError, match="extends itself"):
        find_run(str(tmp_path / "mine" / "loop.yaml"))


def test_a_python_file_imports_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("SEED = 12\n")
    (tmp_path / "mine.py").write_text(
        "from neighbour_of_mine import SEED\nfrom ups.recipes import burgers\n\n\n"
        "def run():\n    return burgers.quick().model_copy(update={'seed': SEED})\n"
    )
    assert find_run(f"{tmp_path / 'mine.py'}:run")[1].seed == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def run(:\n", r"mine\.py, line 1: SyntaxError: invalid syntax"),
        ("import not_there_at_all\n", r"line 1: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def run():\n    return 1 / 0\n", r"line 2: ZeroDivisionError"),
        ("import sys\nsys.exit(0)\n", r"line 2: SystemExit"),
        (
            "from tiny_recipe import tiny\n\n\ndef run():\n    return tiny().model_copy(update={'seed': 'x'})\n",
            r"setting 'seed': should be a valid integer",
        ),
        (
            "from ups.runs.settings import Run\n\n\ndef run():\n    return Run(dta=1)\n",
            r"line 5: ValidationError",
        ),
    ],
)
def test_the_faults_of_a_python_file_are_one_line_that_says_where(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        find_run(f"{tmp_path / 'mine.py'}:run")
    assert "\n" not in str(error.value)


def test_every_recipe_is_listed_with_a_line_and_returns_a_run():
    listed = describe_recipes()
    assert tuple(name for name, _ in listed)[:2] == ("burgers.quick", "burgers.reference")
    for name, line in listed:
        assert 10 < len(line) < 120, name
        assert isinstance(find_run(name)[1], KINDS)


def test_every_study_is_listed_with_a_line_apart_from_the_recipes_and_returns_a_study():
    listed = describe_studies()
    assert listed
    assert not {name for name, _ in listed} & {name for name, _ in describe_recipes()}
    for name, line in listed:
        assert 10 < len(line) < 120, name
        assert isinstance(find_study(name)[1], Study)


def test_a_study_is_found_by_name_in_a_python_file_and_in_a_settings_file(tmp_path):
    name, study = find_study("studies.burgers_optimizer")
    assert (name, study) == ("studies.burgers_optimizer", studies.burgers_optimizer())
    name, study = find_study(f"{TINY_STUDY}:rates")
    assert name == "rates"
    assert study.settings("still", 2).training.learning_rate == 1e-9
    (tmp_path / "mine.yaml").write_text(
        "extends: studies.burgers_optimizer\nseeds: [4, 5, 6]\nbase: {training: {seconds: 3}}\n"
        "variants: {slow: [training.learning_rate=1e-4]}\n"
    )
    name, study = find_study(str(tmp_path / "mine.yaml"))
    assert (name, study.seeds, study.base.training.seconds) == ("mine", (4, 5, 6), 3)
    assert set(study.variants) == {*studies.burgers_optimizer().variants, "slow"}


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("studies.burger_optimizer", "no such study .did you mean 'studies.burgers_optimizer'"),
        ("burgers.quick", "no such study"),
        (f"{TINY}:tiny", r"must return a ups\.studies\.study\.Study, not Run"),
        (f"{TINY_STUDY}:untyped", r"Study\[Run\]"),
    ],
)
def test_what_is_not_a_study_is_said_in_one_line(study, message):
    with pytest.raises(UserError, match=message) as error:
        find_study(study)
    assert "\n" not in str(error.value)


def test_a_study_is_no_recipe():
    with pytest.raises(UserError, match="no such recipe"):
        find_run("studies.burgers_optimizer")
    with pytest.raises(UserError, match=r"must return a ups\.runs\.settings\.Run or .*, not Study"):
        find_run(f"{TINY_STUDY}:rates")
