import json

import numpy as np
import pytest

from records import edit
from toy_study import NUM_TRAJECTORIES, Toy, finish, study
from ups.evaluation.rows import trajectory_scores
from ups.studies.folder import named, read_study
from ups.studies.study import PrimaryMetric
from ups.types import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    finish(study(seeds=(5, 1, 3)), folder)
    return folder


def test_the_scores_of_a_variant_are_those_of_its_runs_in_the_order_of_the_seeds(folder):
    read = read_study(folder)
    assert [runs.name for runs in read.variants] == ["base", "planted", "nothing"]
    assert read.design.seeds == (1, 3, 5)
    for runs in read.variants:
        assert runs.scores.shape == (3, NUM_TRAJECTORIES)
        for seed, scores in zip(read.design.seeds, runs.scores, strict=True):
            path = folder / f"{runs.name}-seed{seed}" / "rows.parquet"
            np.testing.assert_array_equal(scores, trajectory_scores(path, "pdebench", "nrmse")["operator"][0])
        assert [record["seed"] for record in runs.records] == [1, 3, 5]


def test_the_definition_comes_back_without_knowing_the_type_of_the_base(folder):
    read = read_study(folder)
    assert read.design.question == "Does it help?"
    assert read.design.variants == {"planted": ("effect=0.3",), "nothing": ("head.width=5",)}
    assert read.base_settings == Toy().model_dump(mode="json")


def test_another_protocol_gives_other_scores(tmp_path):
    finish(study(metric=PrimaryMetric(protocol="one_step")), tmp_path)
    read = read_study(tmp_path).base.scores
    expected = trajectory_scores(tmp_path / "base-seed0" / "rows.parquet", "pdebench", "nrmse")["operator"][0]
    np.testing.assert_allclose(read[0], 7 * expected)


def test_a_star_in_a_protocol_stands_for_one_name_and_not_for_two(tmp_path):
    finish(study(metric=PrimaryMetric(protocol="one_*")), tmp_path)
    rows = tmp_path / "base-seed0" / "rows.parquet"
    expected = trajectory_scores(rows, "one_step", "nrmse")["operator"][0]
    np.testing.assert_array_equal(read_study(tmp_path).base.scores[0], expected)
    with pytest.raises(UserError, match="3 protocols are called"):
        named("*", rows)
    with pytest.raises(UserError, match="0 protocols are called"):
        named("two_*", rows)


def test_costs_are_the_means_over_seeds_of_the_stepper_that_is_studied(folder):
    read = read_study(folder)
    assert read.base.costs == {"num_parameters": 40.0, "training_seconds": 8.0, "updates": 100.0}
    assert read.variants[2].costs["num_parameters"] == 50.0


def test_a_study_that_is_not_finished_says_which_cell(tmp_path):
    finish(study(), tmp_path)
    path = tmp_path / "nothing-seed1" / "run.json"
    edit(path, lambda record: record | {"finished": ""})
    with pytest.raises(UserError, match="nothing-seed1: the run is not finished"):
        read_study(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="nothing-seed1"):
        read_study(tmp_path)


def test_what_failed_is_left_out_and_the_others_are_paired_by_seed(tmp_path):
    finish(study(seeds=(1, 3, 5)), tmp_path)
    for name in ("base-seed1", "planted-seed5"):
        (tmp_path / name / "failed.json").write_text(json.dumps({"reason": f"{name} diverged"}))
    read = read_study(tmp_path)
    base, planted, nothing = read.variants
    assert (base.seeds, planted.seeds, nothing.seeds) == ((3, 5), (1, 3), (1, 3, 5))
    assert base.failures == {1: "base-seed1 diverged"}
    assert planted.failures == {5: "planted-seed5 diverged"}
    one, other = read.paired(planted)
    assert one.seeds == other.seeds == (3,)
    np.testing.assert_array_equal(one.scores, planted.scores[1:])
    np.testing.assert_array_equal(other.scores, base.scores[:1])
    assert [record["seed"] for record in read.paired(nothing)[0].records] == [3, 5]


def test_a_study_whose_base_never_finished_has_nothing_to_compare_with(tmp_path):
    finish(study(), tmp_path)
    for seed in (0, 1, 2):
        (tmp_path / f"base-seed{seed}" / "failed.json").write_text(json.dumps({"reason": "it diverged"}))
    with pytest.raises(UserError, match=r"no run of the base finished.*it diverged"):
        read_study(tmp_path)


def test_a_folder_that_is_no_study_is_one_line(tmp_path):
    with pytest.raises(UserError, match="not the folder of a study"):
        read_study(tmp_path)


def test_a_rung_is_found_by_its_folder_whatever_tables_call_it(tmp_path):
    ladder = {"ladder": [{"name": "persistence", "kind": "trivial", "folder": "still"}]}
    finish(study(), tmp_path, **{f"base_seed{seed}": ladder for seed in (0, 1, 2)})
    base = read_study(tmp_path).base
    assert (base.of("still").scores == base.of("persistence").scores).all()
    with pytest.raises(UserError, match="no rows of pdebench / stil / nrmse"):
        _ = base.of("stil").scores
