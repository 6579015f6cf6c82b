import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import ups
from tiny_recipe import channel, kicked, steady, tiny
from ups import record
from ups.config import override
from ups.data.simulated import Simulated
from ups.evaluation.rollout import rollout
from ups.evaluation.rows import query, trajectory_scores
from ups.models.autoencoder import Convolutional
from ups.models.operator import Transformer
from ups.reports.report import write_report
from ups.runs.pipeline import Work, climb, ground, load, run
from ups.runs.saved import load as load_rung
from ups.streams import stream
from ups.training.store import Store
from ups.types import UserError

COMMAND = [sys.executable, "-m", "ups", "run"]


def numbers(folder):
    """Every measured value but the costs, in order."""
    sql = "select * from rows where protocol != 'cost' order by protocol, stepper, metric, trajectory, field, time"
    return query(folder / "rows.parquet", sql)["value"]


def test_a_run_leaves_all_its_evidence(tiny_run):
    for name in ("run.json", "rows.parquet", "examples.npz", "report.html", "report.md"):
        assert (tiny_run / name).stat().st_size > 100, name
    record = json.loads((tiny_run / "run.json").read_text())
    assert record["settings"] == tiny().model_dump(mode="json")
    assert record["stages"].keys() == {"operator", "tuned_fno"}
    kinds = [rung["kind"] for rung in record["ladder"]]
    assert kinds == ["trivial", "solver", "baseline", "ours", "reference"]
    assert not [path for path in tiny_run.rglob("*") if "tmp" in path.name or "partial" in path.name]


def test_every_stage_is_watched_on_the_validation_split(tiny_run):
    record = json.loads((tiny_run / "run.json").read_text())
    for name, stage in record["stages"].items():
        rows = list(map(json.loads, (tiny_run / "stages" / name / "log.jsonl").read_text().splitlines()))
        watched = [row for row in rows if "held_out" in row]
        assert [row["update"] for row in watched] == [30, 60]
        assert all(0 < row[key] < 1 for row in watched for key in ("train", "held_out"))
        assert (stage["stopped_early"], stage["finding"]) == (False, None)


def test_every_rung_is_scored_on_the_same_trajectories(tiny_run):
    scores = trajectory_scores(tiny_run / "rows.parquet", "pdebench", "nrmse")
    assert {values.shape for values in scores.values()} == {(1, 4)}
    assert scores["operator"].mean() < scores["persistence"].mean()
    assert scores["codec ceiling"].max() < 1e-6


def test_the_run_is_loaded_as_a_stepper_that_repeats_its_numbers(tiny_run):
    emulator = ups.load(tiny_run)
    test = load(tiny()).test
    forecast = ups.rollout(emulator, test.values[:, :10], test.params, 4)[0]
    error = (forecast - test.values[:, 10:]).square().mean(-1).sqrt() / test.values[:, 10:].square().mean(
        -1
    ).sqrt()
    scores = trajectory_scores(tiny_run / "rows.parquet", "pdebench", "nrmse")["operator"][0]
    np.testing.assert_allclose(error.mean((1, 2)).numpy(), scores, rtol=1e-5)


def test_a_finished_run_is_not_run_again(tiny_run):
    before = (tiny_run / "rows.parquet").stat().st_mtime_ns
    run(tiny(), tiny_run)
    assert (tiny_run / "rows.parquet").stat().st_mtime_ns == before


def test_a_folder_of_other_settings_is_refused(tiny_run):
    with pytest.raises(UserError, match=r"other settings \(seed: 0 -> 1\)"):
        run(override(tiny(), ["seed=1"]), tiny_run)


@pytest.mark.usefixtures("without_report")
def test_another_seed_gives_other_numbers_and_the_same_seed_the_same(tiny_run, tmp_path):
    run(tiny(), tmp_path / "same")
    assert np.array_equal(numbers(tmp_path / "same"), numbers(tiny_run))
    run(override(tiny(), ["seed=1"]), tmp_path / "other")
    ours = [
        trajectory_scores(f / "rows.parquet", "pdebench", "nrmse") for f in (tmp_path / "other", tiny_run)
    ]
    assert not np.array_equal(ours[0]["operator"], ours[1]["operator"])
    assert np.array_equal(ours[0]["persistence"], ours[1]["persistence"])


@pytest.mark.slow
@pytest.mark.usefixtures("without_report")  # of the whole run here; the killed one draws its own
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    """Kills come at random moments of all that a run does: data, training, evaluation, report."""
    recipe = f"{os.path.dirname(os.path.dirname(__file__))}/tiny_recipe.py:tiny"
    settings = ["training.updates=300", "training.checkpoint_every_seconds=0.05"]
    run(override(tiny(), settings), tmp_path / "whole")
    command = [*COMMAND, recipe, *settings, "--out", str(tmp_path / "killed")]
    wait, kills = random.Random(0), 0
    while kills < 2:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(wait.uniform(2.0, 5.0))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        if process.returncode == 0:
            break
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert kills >= 2
    assert np.array_equal(numbers(tmp_path / "killed"), numbers(tmp_path / "whole"))


def test_what_stands_on_the_operator_is_trained_judged_scored_and_saved(kicked_run):
    record = json.loads((kicked_run / "run.json").read_text())
    assert list(record["stages"]) == ["operator", "crps_operator", "corrector", "student"]
    members = {rung["name"]: (rung["kind"], rung.get("num_members", 1)) for rung in record["ladder"]}
    assert members["operator"] == ("ours", 1)
    assert members["operator + colored noise"] == ("baseline", 3)
    assert members["corrector"] == members["student"] == ("ours", 3)
    assert members["perfect ensemble"] == ("reference", 3)
    scores = trajectory_scores(kicked_run / "rows.parquet", "pdebench", "fair_crps")
    assert {values.shape for values in scores.values()} == {(1, 4)}
    assert scores["perfect ensemble"].mean() < scores["persistence"].mean()
    assert len(record["guards"]["corrector"]) == 4
    assert record["judged"]["corrector"]["structure learned"] > 0
    page = (kicked_run / "report.md").read_text()
    assert all(line in page for line in record["guards"]["corrector"])
    for name in ("crps_operator", "corrector", "student"):
        assert load_rung(kicked_run, name).num_context == 1


@pytest.mark.usefixtures("without_report")
def test_corrector_student_and_search_stand_on_a_channel_as_on_a_line(tmp_path):
    run(channel(), tmp_path / "run")
    made = record.read_finished(tmp_path / "run")
    folders = {rung.folder for rung in made.ladder}
    assert {"corrector", "colored_noise", "student", "search", "mean_of_candidates"} <= folders
    assert made.judged["corrector"]["power of the draws"] == pytest.approx(1, abs=0.5)  # gains are at most 2
    with np.load(tmp_path / "run" / "ensembles.npz") as ensembles:
        assert ensembles["members/corrector"].shape[2:] == (1, 12, 10)
    corrected = load_rung(tmp_path / "run", "corrector")
    assert corrected.gain.gain.shape == (7, 10, 1)
    values, params = torch.randn(2, 1, 1, 12, 10), torch.full((2, 1), 0.002)
    drawn = rollout(corrected, values, params, 2, generator=stream(0, "draws"))[0]
    assert drawn.shape == (2, 2, 1, 12, 10)
    assert drawn.isfinite().all()


@pytest.mark.usefixtures("without_report")
def test_a_kicked_run_that_is_stopped_at_any_stage_ends_with_the_same_bits(kicked_run, tmp_path, monkeypatch):
    from ups.runs import pipeline

    stages = []

    def stop_after_each(stage, *rest, **how):
        fitted = fit_stage(stage, *rest, **how)
        if stage.name not in stages:
            stages.append(stage.name)
            raise KeyboardInterrupt
        return fitted

    fit_stage = pipeline.fit_stage
    monkeypatch.setattr(pipeline, "fit_stage", stop_after_each)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run(kicked(), tmp_path / "stopped")
    run(kicked(), tmp_path / "stopped")
    assert stages == ["operator", "crps_operator", "corrector", "student"]
    assert np.array_equal(numbers(tmp_path / "stopped"), numbers(kicked_run))


def test_a_steady_prior_stands_beside_climatology_and_its_outcomes_are_counted(tmp_path):
    run(steady(), tmp_path / "steady")
    record = json.loads((tmp_path / "steady" / "run.json").read_text())
    assert list(record["stages"]) == ["corrector"]  # the mean has nothing to train
    members = {rung["name"]: (rung["kind"], rung.get("num_members", 1)) for rung in record["ladder"]}
    assert members["climatology"] == ("trivial", 3)
    assert members["corrector"] == ("ours", 3)
    scores = trajectory_scores(tmp_path / "steady" / "rows.parquet", "from_initial", "fair_crps")
    assert scores["climatology"].mean() < scores["persistence"].mean()
    outcomes = record["guards"]["outcomes"]
    assert sum(int(line.split(" ")[0]) for line in outcomes) == 4
    page = (tmp_path / "steady" / "report.md").read_text()
    assert all(line in page for line in outcomes)


@pytest.mark.usefixtures("without_report")
def test_a_codec_with_parameters_is_trained_first_and_is_the_reference(tmp_path):
    settings = tiny().model_copy(update={"codec": Convolutional(num_levels=1, dim=1, width=8)})
    settings = settings.model_copy(
        update={"operator": Transformer(hidden_dim=16, num_heads=2, depth=1, group_size=16)}
    )
    settings = override(
        settings, ["codec_training.updates=30", "codec_training.batch_size=8", "baselines={}"]
    )
    run(settings, tmp_path / "latent")
    record = json.loads((tmp_path / "latent" / "run.json").read_text())
    assert list(record["stages"]) == ["codec", "operator"]
    scores = trajectory_scores(tmp_path / "latent" / "rows.parquet", "pdebench", "nrmse")
    assert 1e-4 < scores["codec ceiling"].mean() < 1
    assert ups.load(tmp_path / "latent").codec.settings == settings.codec


def test_a_stage_of_other_data_is_not_gone_on_with_though_its_settings_are_the_same(tmp_path):
    """A file may hold other values under the same name; the settings of a stage do not tell."""
    settings = override(tiny(), ["training.updates=2", "training.unroll=[[0,1]]", "training.warmup=1"])
    (spec,) = (spec for spec in settings.rungs if spec.name == "tuned_fno")
    with Store(tmp_path) as store:
        for seed, refused in ((0, False), (0, False), (1, True)):
            splits = load(override(settings, [f"data.seed={seed}"]))
            below = ground(settings, splits)
            if refused:
                with pytest.raises(UserError, match="other settings or data"):
                    climb(spec, below, {}, Work(splits, store, settings.seed))
            else:
                climb(spec, below, {}, Work(splits, store, settings.seed))


def test_parts_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    settings = tiny().model_copy(update={"codec": Convolutional(num_levels=1)})
    with pytest.raises(UserError, match="spectral_flux"):
        run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_trajectories_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="split"):
        run(override(tiny(), ["data.num_trajectories=1"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("equation", ["heat", "kuramoto_sivashinsky", "fisher_kpp", "burgers"])
def test_every_equation_climbs_the_ladder(tmp_path, equation):
    data = Simulated(equation=equation, num_trajectories=12, num_cells=32, solver_cells=64, num_frames=12)
    changes = ["training.updates=4", "baselines={}", "solver_cells=[64]"]
    settings = override(tiny().model_copy(update={"data": data}), changes)
    run(settings, tmp_path / equation)
    scores = trajectory_scores(tmp_path / equation / "rows.parquet", "pdebench", "nrmse")
    assert np.isfinite(scores["operator"]).all()
    assert any(name.startswith("solver") for name in scores)
    record = json.loads((tmp_path / equation / "run.json").read_text())
    assert record["data"]["truth_floor"] > 0
    if equation == "burgers":
        write_report(tmp_path / equation)
        page = (tmp_path / equation / "report.html").read_text()
        assert "error of the truth" in page


def test_where_all_is_still_after_one_frame_the_run_ends_and_says_so(tmp_path):
    """Nothing is left of an error of zero: neither a share of it nor of what changed."""
    short = ["baselines={}", "training.updates=8", "training.warmup=2", "solver_cells=[32]"]
    settings = override(tiny(), [*short, "data.equation=burgers", "data.nu=[1e9]"])
    run(settings, tmp_path)
    assert (tmp_path / "report.html").exists()
