import json

import numpy as np
import pytest

from toy_study import Runner, begun, changed, study
from ups.config import digest
from ups.evaluation.rows import trajectory_scores
from ups.files import FAILED
from ups.studies.carry_out import carry_out, failure, in_turn, is_finished, require_metric
from ups.studies.study import PrimaryMetric, begin, read_definition
from ups.training.fit import DivergenceError
from ups.types import UserError

ALL = [f"{variant}-seed{seed}" for seed in (0, 1, 2) for variant in ("base", "planted", "nothing")]


def silent(fraction, text):
    pass


def numbers(folder):
    files = sorted(folder.glob("*/rows.parquet"))
    return {
        file.parent.name: trajectory_scores(file, "pdebench", "nrmse")["operator"].tolist() for file in files
    }


def test_every_variant_runs_with_every_seed_in_a_folder_of_its_own(tmp_path):
    runner, heard = Runner(), []
    carry_out(study(), tmp_path, in_turn(runner), lambda fraction, text: heard.append((fraction, text)))
    assert runner.ran == ALL
    assert [text for _, text in heard] == ALL
    assert [fraction for fraction, _ in heard] == pytest.approx(np.arange(9) / 9)
    settings = [json.loads((tmp_path / name / "run.json").read_text())["settings"] for name in ALL]
    assert [(each["effect"], each["head"]["width"], each["seed"]) for each in settings[3:6]] == [
        (0.0, 4, 1),
        (0.3, 4, 1),
        (0.0, 5, 1),
    ]


def test_the_definition_is_written_before_the_first_cell_runs(tmp_path):
    def look(settings, folder):
        assert read_definition(tmp_path) == study().model_dump(mode="json")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(study(), tmp_path, in_turn(look), silent)
    record = json.loads((tmp_path / "study.json").read_text())
    assert record["digest"] == digest(study())
    assert record["definition"]["question"] == "Does it help?"
    assert record["definition"]["decision"] == {"minimal_percent": 0.0, "confidence": 0.95}


@pytest.mark.parametrize("killed_at", [0, 1, 4, 8])
def test_a_study_that_is_killed_goes_on_where_it_stopped_and_ends_with_the_same_numbers(tmp_path, killed_at):
    carry_out(study(), tmp_path / "whole", in_turn(Runner()), silent)
    with pytest.raises(KeyboardInterrupt):
        carry_out(study(), tmp_path / "killed", in_turn(Runner(killed_at)), silent)
    second = Runner()
    carry_out(study(), tmp_path / "killed", in_turn(second), silent)
    assert second.ran == ALL[killed_at:]
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")


def test_finished_cells_are_not_run_again_and_a_deleted_one_is(tmp_path):
    carry_out(study(), tmp_path, in_turn(Runner()), silent)
    again = Runner()
    carry_out(study(), tmp_path, in_turn(again), silent)
    assert again.ran == []
    (tmp_path / "planted-seed1" / "run.json").unlink()
    carry_out(study(), tmp_path, in_turn(again), silent)
    assert again.ran == ["planted-seed1"]


def test_a_cell_of_other_settings_is_handed_to_the_run_which_knows_what_to_say(tmp_path):
    carry_out(study(), tmp_path, in_turn(Runner()), silent)
    path = tmp_path / "base-seed2" / "run.json"
    record = json.loads(path.read_text())
    record["settings"]["head"]["width"] = 40
    path.write_text(json.dumps(record))
    assert not is_finished(path.parent, study().settings("base", 2))
    again = Runner()
    carry_out(study(), tmp_path, in_turn(again), silent)
    assert again.ran == ["base-seed2"]


class Failing(Runner):
    """Fails the cells that `errors` names, after or before they have written anything."""

    def __init__(self, begun=True, **errors):
        super().__init__()
        self.errors, self.begun = errors, begun

    def __call__(self, settings, folder):
        if error := self.errors.get(folder.name.replace("-", "_")):
            if self.begun:
                folder.mkdir(parents=True, exist_ok=True)
                begun(settings, folder)
            raise error
        super().__call__(settings, folder)


@pytest.mark.parametrize("error", [DivergenceError("stage 'operator' stopped"), UserError("not finite")])
@pytest.mark.parametrize("name", ["base-seed0", "planted-seed1"])
def test_a_cell_that_fails_is_written_down_the_study_goes_on_and_a_rerun_tries_it_again(
    tmp_path, name, error
):
    heard = []
    runner = Failing(**{name.replace("-", "_"): error})
    carry_out(study(), tmp_path, in_turn(runner), lambda _, text: heard.append(text))
    assert runner.ran == [each for each in ALL if each != name]
    assert failure(tmp_path / name) == str(error)
    assert f"{name} failed: {error}" in heard
    assert not any((tmp_path / each / FAILED).exists() for each in runner.ran)
    again = Runner()
    carry_out(study(), tmp_path, in_turn(again), silent)
    assert again.ran == [name]
    assert failure(tmp_path / name) == ""
    carry_out(study(), tmp_path / "whole", in_turn(Runner()), silent)
    assert numbers(tmp_path) == numbers(tmp_path / "whole")


def test_a_variant_that_its_data_refuse_fails_alone(tmp_path):
    runner = Failing(
        begun=False, planted_seed0=UserError("does not fit"), planted_seed1=UserError("nor this")
    )
    carry_out(study(), tmp_path, in_turn(runner), silent)
    assert len(runner.ran) == 7
    assert failure(tmp_path / "planted-seed1") == "nor this"


def test_a_base_that_is_refused_before_it_begins_ends_the_study_and_leaves_nothing(tmp_path):
    runner = Failing(begun=False, base_seed0=UserError("data.folder nowhere: no such folder"))
    for name in ("logs/base-seed0.txt", ".turns/operator-abc"):  # what an engine and a store leave
        (tmp_path / "new" / name).parent.mkdir(parents=True)
        (tmp_path / "new" / name).touch()
    begin(study(), tmp_path / "other")
    (tmp_path / "other" / "study.json").rename(tmp_path / "new" / "study.json")
    with pytest.raises(UserError, match=r"data\.folder nowhere"):
        carry_out(study(), tmp_path / "new", in_turn(runner), silent)
    assert runner.ran == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("ours"), OSError("disk")])
def test_what_is_no_fault_of_a_cell_ends_the_study(tmp_path, error):
    with pytest.raises(type(error)):
        carry_out(study(), tmp_path, in_turn(Failing(base_seed1=error)), silent)
    assert not list(tmp_path.glob(f"*/{FAILED}"))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"stepper": "operatr"}, "did you mean 'pdebench / operator / nrmse'"),
        ({"protocol": "one_stp"}, "did you mean 'one_step / operator / nrmse'"),
    ],
)
def test_a_misspelt_metric_costs_one_cell_not_the_study(tmp_path, metric, message):
    runner = Runner()
    with pytest.raises(UserError, match=message):
        carry_out(study(metric=PrimaryMetric(**metric)), tmp_path, in_turn(runner), silent)
    assert runner.ran == ALL[:1]
    require_metric(tmp_path / "base-seed0", study())
    with pytest.raises(UserError, match="see 'pays' of the study"):
        require_metric(tmp_path / "base-seed0", study(pays={"operator": "persistance"}))
    with pytest.raises(UserError, match="see 'also' of the study"):
        require_metric(tmp_path / "base-seed0", study(also=(PrimaryMetric(metric="nrms"),)))


CHANGES = {
    "seeds=[0,1,2,3]": r"seeds: \[0, 1, 2\] -> \[0, 1, 2, 3\]",
    "decision.minimal_percent=2": "decision.minimal_percent: 0.0 -> 2.0",
    "variants.planted=[effect=0.4]": r'variants.planted: \["effect=0.3"\] -> \["effect=0.4"\]',
    "base.head.bias=true": "base.head.bias: false -> true",
    "metric.protocol=one_step": 'metric.protocol: "pdebench" -> "one_step"',
    "question=Or not?": 'question: "Does it help\\?" -> "Or not\\?"',
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_definition_in_the_same_folder_is_refused_with_what_differs(tmp_path, change):
    begin(study(), tmp_path)
    before = (tmp_path / "study.json").read_bytes()
    runner = Runner()
    with pytest.raises(UserError, match=CHANGES[change]) as error:
        carry_out(changed(study(), change), tmp_path, in_turn(runner), silent)
    assert "\n" not in str(error.value)
    assert runner.ran == []
    assert (tmp_path / "study.json").read_bytes() == before
