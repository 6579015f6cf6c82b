import json

import numpy as np
import pytest
import torch

from tiny_recipe import tiny
from ups.data.pdebench import write_pdebench
from ups.evaluation.rows import trajectory_scores
from ups.runs.pipeline import load
from ups.runs.reevaluate import evaluate
from ups.types import Trajectory, UserError


def scores(folder):
    return trajectory_scores(folder / "rows.parquet", "pdebench", "nrmse")


def test_the_own_test_split_gives_the_numbers_of_the_run(tiny_run, tmp_path):
    evaluate(tiny_run, None, [], tmp_path / "again")
    again, before = scores(tmp_path / "again"), scores(tiny_run)
    for name in ("persistence", "tuned_fno", "operator"):
        np.testing.assert_allclose(np.sort(again[name]), np.sort(before[name]), rtol=1e-6)
    assert (tmp_path / "again" / "report.html").stat().st_size > 1000


def test_ensembles_are_measured_again_with_the_same_noise(kicked_run, tmp_path):
    evaluate(kicked_run, None, [], tmp_path / "again")
    again, before = (
        trajectory_scores(folder / "rows.parquet", "pdebench", "fair_crps")
        for folder in (tmp_path / "again", kicked_run)
    )
    assert again.keys() == before.keys()
    for name in ("corrector", "student", "perfect ensemble"):
        np.testing.assert_allclose(np.sort(again[name]), np.sort(before[name]), rtol=1e-6)


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
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert any("start like one of the training; left out" in note for note in record["notes"])
    with pytest.raises(UserError, match="every trajectory starts like one of the training"):
        evaluate(tiny_run, tmp_path / "known.hdf5", [], tmp_path / "none")


def test_only_settings_of_the_data_may_change(tiny_run, tmp_path):
    with pytest.raises(UserError, match="only settings of the data"):
        evaluate(tiny_run, None, ["training.updates=3"], tmp_path / "out")


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        evaluate(tmp_path, None, [], None)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="not finished"):
        evaluate(tmp_path, None, [], None)
