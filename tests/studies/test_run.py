import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tiny_study
import toy_study
from tiny_images import weightings
from tiny_study import correctors, rates
from ups.config import override
from ups.evaluation.ladder import measure
from ups.evaluation.rows import query
from ups.images import bench as image_bench
from ups.runs import pipeline
from ups.studies.run import one_cell, study
from ups.studies.study import read_definition
from ups.training import fit
from ups.training.fit import DivergenceError
from ups.types import UserError

VALUES = (
    "select * from rows where protocol != 'cost' order by protocol, stepper, metric, trajectory, field, time"
)


def numbers(folder):
    return {path.parent.name: query(path, VALUES)["value"] for path in sorted(folder.glob("*/rows.parquet"))}


@pytest.fixture(autouse=True, scope="module")
def plain_runs():
    """The report of a single run is drawn elsewhere, and takes longer than the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_report", lambda folder: None)
        patch.setattr(image_bench, "write_image_report", lambda folder: None)
        yield


@pytest.fixture(scope="module")
def finished(plain_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "rates"
    study(rates(), folder)
    return folder


def test_training_beats_standing_still_and_the_page_says_so(finished):
    assert "- still: worse by " in (finished / "report.md").read_text()
    assert (finished / "report.html").exists()
    record = json.loads((finished / "still-seed2" / "run.json").read_text())
    assert record["settings"]["training"]["learning_rate"] == 1e-9
    assert record["seed"] == 2


def test_a_study_stopped_between_training_and_evaluation_ends_with_the_same_bits(
    finished, tmp_path, monkeypatch
):
    measured = []

    def stop_at_the_third(rungs, reconstruct, test, rows, progress):
        measured.append(rows.run_dir.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(rungs, reconstruct, test, rows, progress)

    monkeypatch.setattr(pipeline, "measure", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        study(rates(), tmp_path)
    assert not (tmp_path / "report.html").exists()
    study(rates(), tmp_path)
    assert measured[2:] == ["base-seed1", "base-seed1", "still-seed1", "base-seed2", "still-seed2"]
    whole, again = numbers(finished), numbers(tmp_path)
    assert whole.keys() == again.keys()
    assert all(np.array_equal(whole[name], again[name]) for name in whole)


def test_a_finished_study_runs_nothing_and_writes_its_report_again(finished, monkeypatch):
    (finished / "report.html").unlink()
    monkeypatch.setattr(
        "ups.studies.run.run", lambda settings, folder, beside: pytest.fail("a cell ran again")
    )
    study(rates(), finished)
    assert (finished / "report.html").exists()


def test_a_study_goes_on_after_a_divergence_and_a_rerun_mends_it(tmp_path, monkeypatch, capsys):
    def diverge(settings, folder, beside):
        if folder.name == "planted-seed2":
            raise DivergenceError("stage 'operator' stopped at update 7 of 20")
        toy_study.run(settings, folder)

    monkeypatch.setattr("ups.studies.run.run", diverge)
    with pytest.raises(UserError, match=r"1 runs failed \(planted-seed2\)"):
        study(toy_study.study(), tmp_path)
    assert "planted-seed2 failed: stage 'operator' stopped at update 7" in capsys.readouterr().err
    text = (tmp_path / "report.md").read_text()
    assert "- planted: not enough seeds: 2 of at least 3; planted failed with seed 2" in text
    monkeypatch.setattr(
        "ups.studies.run.run", lambda settings, folder, beside: toy_study.run(settings, folder)
    )
    study(toy_study.study(), tmp_path)
    assert "- planted: better by" in (tmp_path / "report.md").read_text()


def test_what_a_variant_shares_with_the_base_is_trained_once_and_changes_no_bit(tmp_path, monkeypatch):
    begun, begin = [], fit._begin

    def note(state, shelf, *rest):
        begun.append(f"{shelf.folder.parents[1].name} {shelf.folder.name}")
        return begin(state, shelf, *rest)

    monkeypatch.setattr(fit, "_begin", note)
    study(correctors(), tmp_path / "study")
    assert begun == ["base-seed0 operator", "base-seed0 corrector", "more-seed0 corrector"]
    pipeline.run(correctors().settings("more", 0), tmp_path / "alone" / "more-seed0")
    assert begun[3:] == ["more-seed0 operator", "more-seed0 corrector"]
    shared, alone = numbers(tmp_path / "study")["more-seed0"], numbers(tmp_path / "alone")["more-seed0"]
    assert np.array_equal(shared, alone, equal_nan=True)


def test_another_definition_in_the_same_folder_is_refused(finished):
    with pytest.raises(UserError, match=r"base\.training\.updates: 20 -> 21"):
        study(override(rates(), ["base.training.updates=21"]), finished)


def test_a_study_of_image_runs_tells_the_objective_from_the_network(pictures, tmp_path):
    definition = weightings(pictures)
    short = ["base.training.updates=4", "base.milestones.num_samples=0", "base.milestones.num_vectors=0"]
    short += ["base.sweep.samplers=[ddim]", "base.sweep.steps=[5]", "base.sweep.weights=[ema]", "seeds=[0,1]"]
    study(override(definition, short), tmp_path)
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    for written in (page, text):
        assert "Checkpoint and probe objective" in written
        assert "0.913 for " in written
        assert "The loss alone makes" in written
        assert "anchor: noise" in written
        assert "0.824 for " in written
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"effects", "loss_levels", "samples"}


def test_a_study_killed_in_the_middle_ends_with_the_numbers_of_one_that_ran_in_turn(finished, tmp_path):
    home = Path(tiny_study.__file__)
    command = [sys.executable, "-m", "ups", "study", f"{home}:rates", "seeds=[0]", "--workers", "2"]
    command += ["--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home.parent), *sys.path])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("*/stages/operator/plan.json")):
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.wait()
    time.sleep(0.5)  # for its cells to notice
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (tmp_path / "report.html").exists()
    whole, again = numbers(finished), numbers(tmp_path)
    assert again.keys() == {"base-seed0", "still-seed0"}
    assert all(np.array_equal(whole[name], again[name]) for name in again)


def test_one_cell_can_be_carried_out_alone_and_a_wrong_name_is_told(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr("ups.studies.run.run", lambda settings, folder, beside: ran.append(folder.name))
    one_cell(toy_study.study(), tmp_path / "study", "planted-seed1")
    assert ran == ["planted-seed1"]
    assert read_definition(tmp_path / "study") == toy_study.study().model_dump(mode="json")
    with pytest.raises(UserError, match=r"--only planted-sed1: no such cell \(did you mean 'planted-seed1'"):
        one_cell(toy_study.study(), tmp_path / "study", "planted-sed1")


def test_a_base_that_is_refused_is_one_line_and_leaves_nothing_behind(tmp_path):
    home = Path(tiny_study.__file__)
    command = [sys.executable, "-m", "ups", "study", f"{home}:rates", "seeds=[0,1,2]", "--workers", "2"]
    command += ["base.operator.modes=100", "--out", str(tmp_path / "new")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home.parent), *sys.path])}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2, found.stderr
    assert found.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "new").exists()
