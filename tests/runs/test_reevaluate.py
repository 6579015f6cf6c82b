import shutil

import numpy as np
import pytest
import torch

from tiny_recipe import kicked, steady, tiny
from ups import record
from ups.config import override
from ups.data.pdebench import write_pdebench
from ups.evaluation.rows import trajectory_scores
from ups.files import file_digest
from ups.record import PhysicsRecord
from ups.runs.pipeline import load, run
from ups.runs.reevaluate import evaluate
from ups.runs.saved import load as load_rung
from ups.types import Trajectory, UserError


def scores(folder):
    return trajectory_scores(folder / "rows.parquet", "pdebench", "nrmse")


def test_the_own_test_split_gives_the_numbers_of_the_run(tiny_run, tmp_path):
    evaluate(tiny_run, None, [], tmp_path / "again")
    again, before = scores(tmp_path / "again"), scores(tiny_run)
    for name in ("persistence", "tuned_fno", "operator"):
        np.testing.assert_allclose(np.sort(again[name]), np.sort(before[name]), rtol=1e-6)
    assert (tmp_path / "again" / "report.html").stat().st_size > 1000


@pytest.mark.usefixtures("without_report")
def test_ensembles_are_measured_again_with_the_same_noise(kicked_run, tmp_path):
    evaluate(kicked_run, None, [], tmp_path / "again")
    again, before = (
        trajectory_scores(folder / "rows.parquet", "pdebench", "fair_crps")
        for folder in (tmp_path / "again", kicked_run)
    )
    assert again.keys() == before.keys()
    for name in ("corrector", "student", "perfect ensemble"):
        np.testing.assert_allclose(np.sort(again[name]), np.sort(before[name]), rtol=1e-6)


@pytest.mark.usefixtures("without_report")
def test_trajectories_that_the_training_knows_are_left_out(tiny_run, tmp_path):
    splits = load(tiny())
    for name, part in (("all", [splits.train, splits.test]), ("known", [splits.train])):
        values, params = ([getattr(p, what) for p in part] for what in ("values", "params"))

        whole = Trajectory(torch.cat(values), torch.cat(params), splits.test.fields)
        write_pdebench(tmp_path / f"{name}.hdf5", whole.values, whole.fields, whole.params)
    evaluate(tiny_run, tmp_path / "all.hdf5", [], tmp_path / "out")
    np.testing.assert_allclose(
        np.sort(scores(tmp_path / "out")["operator"]), np.sort(scores(tiny_run)["operator"]), rtol=1e-5
    )
    notes = record.read(tmp_path / "out").notes
    assert any("start like one of the training; left out" in note for note in notes)
    with pytest.raises(UserError, match="every trajectory starts like one of the training"):
        evaluate(tiny_run, tmp_path / "known.hdf5", [], tmp_path / "none")


def test_what_was_trained_cannot_change(tiny_run, tmp_path):
    with pytest.raises(UserError, match="of a finished run only the data"):
        evaluate(tiny_run, None, ["training.updates=3"], tmp_path / "out")


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        evaluate(tmp_path, None, [], None)
    record.begin(tmp_path, tiny(), PhysicsRecord)
    with pytest.raises(UserError, match="not finished"):
        evaluate(tmp_path, None, [], None)


@pytest.mark.usefixtures("without_report")
def test_a_run_is_sampled_again_in_other_ways_one_rung_for_each(kicked_run, tmp_path):
    evaluate(kicked_run, None, ["num_members=4", "corrector.num_steps=[1,2]"], tmp_path / "again")
    found = trajectory_scores(tmp_path / "again" / "rows.parquet", "pdebench", "fair_crps")
    assert {"corrector, num_steps=1", "corrector, num_steps=2", "student", "operator"} <= set(found)
    ladder = {rung.name: rung for rung in record.read(tmp_path / "again").ladder}
    assert ladder["corrector, num_steps=1"].folder == ladder["corrector, num_steps=2"].folder == "corrector"
    assert {rung.num_members for rung in ladder.values()} == {1, 4}
    assert not np.array_equal(found["corrector, num_steps=1"], found["corrector, num_steps=2"])


@pytest.mark.usefixtures("without_report")
def test_references_are_those_of_the_run_and_never_made_from_the_data_that_are_scored(tmp_path, monkeypatch):
    """Under another seed of the data a split of its own would put scored trajectories into the climatology."""
    run(steady(), tmp_path / "run")
    train = load(steady()).train
    monkeypatch.setattr("ups.runs.rungs.Climatology", None)
    evaluate(tmp_path / "run", None, ["data.seed=1"], tmp_path / "again")
    again = trajectory_scores(tmp_path / "again" / "rows.parquet", "from_initial", "fair_crps")
    assert again["climatology"].shape == (1, 40)
    assert torch.equal(load_rung(tmp_path / "run", "climatology").frames, train.values[:, -1])


@pytest.mark.usefixtures("without_report")
def test_a_file_is_measured_against_every_reference_of_the_run(kicked_run, tmp_path):
    test = load(override(kicked(), ["data.seed=3"])).test
    write_pdebench(tmp_path / "other.hdf5", test.values, test.fields, test.params)
    evaluate(kicked_run, tmp_path / "other.hdf5", [], tmp_path / "out")
    before = {rung.name for rung in record.read(kicked_run).ladder}
    assert {rung.name for rung in record.read(tmp_path / "out").ladder} == before


def test_an_evaluation_replaces_nothing_unasked_and_never_a_run_or_a_folder_of_the_user(
    tiny_run, tmp_path, without_report
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    before = files(run)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").touch()
    refused = {
        "is no evaluation": [run, tmp_path / "own", tmp_path / "own" / "thesis.tex"],
        "holds run.json": [run / "new", run / "stages" / "operator"],
    }
    for said, places in refused.items():
        for out in places:
            with pytest.raises(UserError, match=said):
                evaluate(run, None, [], out, force=True)
    evaluate(run, None, [], tmp_path / "again")
    made = files(tmp_path / "again")
    with pytest.raises(UserError, match="holds an evaluation; --force replaces it"):
        evaluate(run, None, [], tmp_path / "again")
    assert files(tmp_path / "again") == made
    evaluate(run, None, [], tmp_path / "again", force=True)
    assert files(run) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "own", "run"]


def files(folder):
    return {path: file_digest(path) for path in folder.rglob("*") if path.is_file()}


def test_two_files_of_one_name_get_two_folders_and_the_same_one_its_own_again(
    tiny_run, tmp_path, without_report
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    for seed, name in enumerate("ab", 5):
        given = tiny().data.model_copy(update={"seed": seed, "num_trajectories": 4}).load()
        (tmp_path / name).mkdir()
        write_pdebench(
            tmp_path / name / "x.h5", given.values, given.fields, given.params, equation="advection"
        )
    for name in "aba":
        evaluate(run, tmp_path / name / "x.h5", [], None)
    made = sorted((run / "evaluations").iterdir())
    assert [path.name[:2] for path in made] == ["x", "x-"]
    told = [record.read(path).settings["data"]["file"] for path in made]
    assert told == [[str(tmp_path / name / "x.h5")] for name in "ab"]


@pytest.mark.parametrize(
    "name", [record.KNOWN, "rows.parquet", "run.json", "stages/operator/stepper/model.json"]
)
def test_a_run_that_was_changed_is_not_evaluated(tiny_run, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: .*damaged"):
        evaluate(run, None, [], None)
    assert not (run / "evaluations").exists()
