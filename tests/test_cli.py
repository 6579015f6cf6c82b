import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pytest

import tiny_images
import tiny_recipe
import tiny_study
from ups import cli

RECIPE = f"{Path(tiny_recipe.__file__)}:tiny"
KICKED = f"{Path(tiny_recipe.__file__)}:kicked"
STUDY = f"{Path(tiny_study.__file__)}:rates"


@pytest.fixture
def ups(monkeypatch, capsys, tmp_path):
    """Run a command line in this process; gives the exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["ups", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return command


def save(path, shape=(6, 14, 32), name="tensor", **attributes):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with h5py.File(path, "w") as file:
        file[name] = values
        file["x-coordinate"] = (np.arange(shape[2]) + 0.5) / shape[2]
        file["t-coordinate"] = 0.05 * np.arange(shape[1] + 1)
        file.attrs.update(attributes or {"beta": 0.4})
    return path


def test_run_list_evaluate_predict_and_data_work_together(ups, tmp_path, tiny_run):
    code, out, _ = ups("list")
    assert code == 0
    assert "burgers.quick" in out
    assert "studies.burgers_optimizer    study: " in out
    made = tmp_path / "made.hdf5"
    settings = ["equation=advection", "num_trajectories=5", "num_cells=32", "num_frames=14", "seed=9"]
    assert ups("data", "make", made, *settings)[0] == 0
    kicked = tmp_path / "kicked.hdf5"
    assert (
        ups("data", "make", kicked, "forcing={}", "num_trajectories=3", "num_cells=32", "num_frames=4")[0]
        == 0
    )
    assert "burgers" in ups("data", "inspect", kicked)[1]
    code, out, _ = ups("data", "inspect", made)
    assert code == 0
    assert "advection" in out
    assert ups("data", "check", made)[:2] == (0, "no findings\n")
    assert ups("evaluate", tiny_run, "--data", made, "--out", tmp_path / "other")[0] == 0
    assert (tmp_path / "other" / "report.html").exists()
    assert ups("predict", tiny_run, "--input", made, "--output", "forecast.hdf5", "--steps", "3")[0] == 0
    assert "4, dt 0.05" in ups("data", "inspect", "forecast.hdf5")[1]


def test_an_ensemble_is_forecast_by_the_corrector_and_its_student(ups, tmp_path, kicked_run):
    made = tmp_path / "made.hdf5"
    assert (
        ups(
            "data",
            "make",
            made,
            "forcing={}",
            "nu=0.01",
            "num_trajectories=3",
            "num_cells=32",
            "num_frames=4",
        )[0]
        == 0
    )
    for name in ("corrector", "student", "crps_operator"):
        words = [
            "--input",
            made,
            "--output",
            f"{name}.hdf5",
            "--steps",
            "3",
            "--members",
            "5",
            "--stepper",
            name,
        ]
        assert ups("predict", kicked_run, *words)[0] == 0
        with h5py.File(f"{name}.hdf5") as file:
            members = file["members"][:]
        assert members.shape == (3, 5, 4, 1, 32)
        assert members[:, :, 1:].std(1).min() > 0
        assert not np.ptp(members[:, :, 0], axis=1).any()


def test_the_run_folder_is_named_after_the_recipe_and_what_was_changed(ups, tmp_path):
    assert ups("run", RECIPE, "training.updates=2", "baselines={}")[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("tiny-")
    code, _, err = ups("run", RECIPE, "training.updates=2", "baselines={}")
    assert code == 0
    assert "finished before" in err


def test_the_study_folder_is_named_after_the_study_and_what_was_changed(ups, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr("ups.studies.run.study", lambda definition, folder, *engine: folders.append(folder))
    assert ups("study", STUDY)[0] == 0
    assert ups("study", STUDY, "seeds=[0,1]", "base.training.updates=3")[0] == 0
    assert ups("study", STUDY, "--out", "here")[0] == 0
    plain, other, chosen = folders
    assert (plain, chosen) == (Path("studies/rates"), Path("here"))
    assert other.name.startswith("rates-")


BAD = {
    "unknown recipe": (["run", "burgers.quik"], "did you mean 'burgers.quick'"),
    "misspelt setting": (["run", RECIPE, "training.updats=3"], "did you mean 'updates'"),
    "wrong type": (["run", RECIPE, "training.updates=many"], "setting 'training.updates'.*'many'"),
    "negative budget": (["run", RECIPE, "training.updates=-1"], "setting 'training.updates'.*greater than 0"),
    "two budgets": (["run", RECIPE, "training.seconds=3", "training.updates=3"], "budget is either"),
    "no file": (["run", "burgers.reference"], "data.file"),
    "missing file": (["run", "burgers.reference", "data.file=none.hdf5"], "none.hdf5: no such file"),
    "not hdf5": (["run", "burgers.reference", "data.file=text.hdf5"], "text.hdf5: not an HDF5 file"),
    "cut off": (["run", "burgers.reference", "data.file=cut.hdf5"], "cut.hdf5: damaged"),
    "wrong datasets": (["run", "burgers.reference", "data.file=names.hdf5"], "names.hdf5: no dataset tensor"),
    "not finite": (
        ["run", "burgers.reference", "data.file=nan.hdf5"],
        "NaN or Inf, first in trajectory 1, frame 2",
    ),
    "one trajectory": (["run", "burgers.reference", "data.file=one.hdf5"], "at least 3"),
    "few frames": (["run", RECIPE, "data.num_frames=2"], "2 frames"),
    "parts that do not fit": (["run", RECIPE, "codec.kind=perceiver"], "spectral_flux"),
    "no network calls": (["run", KICKED, "corrector.num_steps=0"], "corrector.num_steps'.*greater than 0"),
    "noise that does not exist": (
        ["run", KICKED, "corrector.process.kind=lineer"],
        "must be one of 'linear'",
    ),
    "a network too wide for its tokens": (["run", KICKED, "corrector.network.modes=40"], "take fewer modes"),
    "a student of nobody": (["run", KICKED, "corrector=null"], "no corrector to teach it"),
    "one member": (["run", KICKED, "num_members=1"], "greater than or equal to 2"),
    "too short to roll": (
        ["run", KICKED, "corrector.rolled_steps=20"],
        "frames but the longest window needs",
    ),
    "unknown symmetry": (["run", RECIPE, "training.symmetries=[shif]"], "shif"),
    "unknown tracker": (["run", RECIPE, "--tracker", "tensorbord"], "did you mean 'tensorboard'"),
    "output is a file": (["run", RECIPE, "--out", "text.hdf5"], "text.hdf5"),
    "no such run": (
        ["predict", "none", "--input", "good.hdf5", "--output", "out.hdf5"],
        "is it a run folder",
    ),
    "unknown study": (["study", "studies.burgers_optimiser"], "did you mean 'studies.burgers_optimizer'"),
    "variant that is no setting": (
        ["study", STUDY, "variants.fast=[training.learning_rat=1]", "--out", "new"],
        "did you mean 'learning_rate'",
    ),
    "misspelt setting of a study": (["study", STUDY, "sedes=[0]"], "did you mean 'seeds'"),
    "misspelt setting of its base": (["study", STUDY, "base.training.updats=3"], "did you mean 'updates'"),
    "study in a file's place": (["study", STUDY, "--out", "text.hdf5"], "text.hdf5"),
    "no output folder": (["data", "make", "none/out.hdf5", "num_trajectories=1"], "no folder none"),
}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "text.hdf5").write_text("hello")
    good = save(tmp_path / "good.hdf5")
    (tmp_path / "cut.hdf5").write_bytes(good.read_bytes()[:5000])
    save(tmp_path / "names.hdf5", name="field")
    save(tmp_path / "one.hdf5", shape=(1, 14, 64))
    with h5py.File(save(tmp_path / "nan.hdf5", shape=(6, 14, 64)), "r+") as file:
        file["tensor"][1, 2, 3] = np.nan


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line_and_exit_code_2_and_nothing_is_left(ups, tmp_path, files, case):
    words, message = BAD[case]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, out, err = ups(*words)
    lines = [line for line in err.splitlines() if not line.startswith("data: done")]
    assert (code, out) == (2, "")
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    import re

    assert re.search(message, lines[0]), lines[0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_training_that_diverges_is_one_line_and_exit_code_2(ups, tmp_path):
    code, _, err = ups("run", RECIPE, "training.learning_rate=1e8", "training.clip=1e9", "baselines={}")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: stage 'operator' stopped at update ")
    assert "try a lower learning_rate" in err


def test_a_full_disk_is_one_line_and_leaves_no_half_written_file(ups, tmp_path, tiny_run, monkeypatch):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # no file may grow beyond 2 kB
    try:
        code, _, err = ups("run", RECIPE, "--out", tmp_path / "full", "baselines={}", "training.updates=3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert err.splitlines()[-1].startswith("error: ")
    left = {path.name for path in (tmp_path / "full").rglob("*") if path.is_file()}
    assert not any("tmp" in name for name in left)


def start(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ups", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(path, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_and_says_how_to_go_on(tmp_path, signum, code):
    words = ["run", RECIPE, "training.updates=100000", "--out", tmp_path / "run"]
    process = start(*words)
    wait_for(tmp_path / "run" / "stages" / "operator" / "log.jsonl")
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "run the same command again to resume" in err.splitlines()[-1]
    assert (tmp_path / "run" / "stages" / "operator" / "checkpoint.safetensors").exists()


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path):
    words = ["run", RECIPE, "training.updates=100000", "--out", tmp_path / "run"]
    first = start(*words)
    try:
        wait_for(tmp_path / "run" / "stages" / "operator" / "plan.json")
        second = start(*words)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "another run is at work in this folder" in err.splitlines()[-1]
    finally:
        first.kill()
        first.communicate()


def test_two_processes_under_torchrun_write_one_run(tmp_path):
    settings = ["training.updates=6", "baselines={}", "--out", str(tmp_path / "run")]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "29511",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command += ["-m", "ups", "run", RECIPE, *settings]
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["stages"]["operator"]["updates"] == 6
    assert (tmp_path / "run" / "report.html").exists()


def test_an_image_run_is_run_and_probed(ups, tmp_path, pictures, tiny_image_run):
    code, out, _ = ups("list")
    assert code == 0
    assert "images.min_snr_study" in out
    recipe = f"{Path(tiny_images.__file__)}:tiny"
    code, _, err = ups("run", recipe, f"data.folder={pictures}", "--out", tiny_image_run)
    assert code == 0
    assert "finished before" in err
    code, out, _ = ups("probe", tiny_image_run, "num_vectors=1", "num_images=2", "max_lanczos=1")
    assert code == 0
    assert out.count("denoiser, ") == 4
    assert "noise error, Min-SNR 5: loss" in out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.folder=nowhere"], "nowhere/train: no class folders"),
        (["data.folder={pictures}", "data.size=32"], "image of 8 x 8 pixels, expected 32 x 32"),
        (["data.folder={pictures}", "sweep.num_samples=8"], "8 samples are too few for 8 features"),
        (
            [
                "data.folder={pictures}",
                "features.kind=inception",
                "features.weights=w",
                "sweep.num_samples=2100",
            ],
            "features.weights w: cannot read",
        ),
        (["data.kind=parquet", "data.folder=nowhere"], "nowhere: no train-*.parquet"),
        (["data.folder={pictures}", "sweep.steps=[1]"], "refused by the Gaussian oracle"),
        (["weighting.kind=minsnr"], "kind must be one of"),
        (
            ["weighting.kind=min_snr", "weighting.gamma=0"],
            "'weighting.gamma': should be greater than 0 (got 0)",
        ),
        (
            ["weighting.kind=min_snr", "weighting.gama=5"],
            "'weighting.gama': no such setting (did you mean 'gamma'?)",
        ),
        (["swep.steps=[5]"], "no 'swep' (did you mean 'sweep'?)"),
        (
            ["sweep.samplers=[ddmi]"],
            "'sweep.samplers.0': should be 'ddim', 'ancestral', 'heun' or 'dpmpp_2m' (got",
        ),
        (["milestones.sampler=euler"], "'milestones.sampler': should be 'ddim'"),
        (["sweep.steps=[5,0]"], "'sweep.steps.1': should be greater than 0 (got 0)"),
        (["sweep.steps=[]"], "'sweep.steps': "),
        (["milestones.num_samples=1"], "'milestones.num_samples': a kernel distance needs at least 3 images"),
        (["features.kind=inception"], "'features.weights': Field required"),
        (["data.kind=parquet", "data.folder=cut"], "cut/train-0.parquet: damaged or not a Parquet file"),
        (["data.kind=cifar", "data.folder=evil"], "evil/data_batch_1: refused, it holds more than data"),
    ],
)
def test_a_fault_of_an_image_run_is_one_line_and_exit_code_2(ups, tmp_path, pictures, settings, message):
    duckdb.sql("select 'a picture' as img, 0 as label").write_parquet(str(tmp_path / "whole.parquet"))
    for name in ("cut", "evil"):
        (tmp_path / name).mkdir()
    (tmp_path / "cut" / "train-0.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-200])
    (tmp_path / "evil" / "data_batch_1").write_bytes(pickle.dumps({"data": Evil(), "labels": [0]}))
    recipe = f"{Path(tiny_images.__file__)}:tiny"
    code, _, err = ups("run", recipe, *(text.format(pictures=pictures) for text in settings))
    assert code == 2
    (said,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert message in said
    assert err.rstrip().endswith(said)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "executed").exists()


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch executed",))


def test_a_study_that_cannot_be_made_is_one_line_and_exit_code_2_and_leaves_nothing(ups, tmp_path):
    definition = f"{Path(tiny_images.__file__)}:weightings"
    for settings, message in (
        (["variants.fast=[weighting.kind=min_snr,weighting.gama=5]"], "did you mean 'gamma'"),
        (["variants.fast=[weighing.kind=min_snr]"], "did you mean 'weighting'"),
        (["variants.fast=['sweep.samplers=[ddmi]']"], "should be 'ddim'"),
        (["base.data.folder=nowhere"], "nowhere/train: no class folders"),
    ):
        code, out, err = ups("study", definition, *settings, "--out", "new")
        assert (code, out) == (2, "")
        (said,) = (line for line in err.splitlines() if line.startswith("error:"))
        assert message in said
        assert not (tmp_path / "new").exists()


def test_probing_what_is_no_run_is_one_line_and_exit_code_2(ups, tmp_path, pictures):
    for folder in (tmp_path, tmp_path / "none", pictures):
        code, _, err = ups("probe", folder)
        assert (code, err) == (2, f"error: {folder}: not a run folder (no run.json)\n")


def test_arrays_of_ones_own_are_inspected_checked_and_exported(ups, tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 4, 5, 3))
    np.savez(tmp_path / "mine.npz", u=values, nu=np.arange(6.0))
    how = ["dims=sample time x y", "fields=[u]", "params=[nu]", "dt=0.5", "extent={x: 2.0, y: [-1, 1]}"]
    code, out, _ = ups("data", "inspect", "mine.npz", *how, "boundary={x: periodic, y: [wall, open]}")
    assert code == 0
    said = dict(
        line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(("axis", "parameter"))
    )
    assert said["equation"] == "unknown"
    assert said["boundaries"] == "x periodic, y wall to open"
    assert "axis y                 [-1, 1], 3 cells" in out
    code, out, err = ups("data", "inspect", "mine.npz", *how)
    assert (code, "what holds at the ends of x, y is not recorded" in out) == (0, True)
    code, _, err = ups("data", "export", "mine.npz", "well.h5", *how)
    assert code == 2
    assert err.startswith("error: mine.npz: what holds at the ends of x, y is not recorded; give boundary=")
    assert err.count("\n") == 1 + err.count("reading")
    how.append("boundary=wall")
    assert ups("data", "check", "mine.npz", *how)[:2] == (0, "no findings\n")
    assert ups("data", "export", "mine.npz", "well.h5", *how)[:2] == (0, "well.h5: 6 trajectories\n")
    assert "The Well" in ups("data", "inspect", "well.h5")[1]
    assert ups("data", "export", "well.h5", "back.npz", "--format", "npz")[0] == 0
    with np.load(tmp_path / "back.npz") as back:
        assert np.array_equal(back["u"], values.astype(np.float32))


def test_an_export_replaces_nothing_that_was_not_named(ups, tmp_path):
    save(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    for words in (["a.h5", "a.h5"], ["a.h5", "./a.h5", "--force"]):
        code, _, err = ups("data", "export", *words)
        assert (code, "is the input, which would be lost" in err) == (2, True)
    assert (tmp_path / "a.h5").read_bytes() == before
    (tmp_path / "b.h5").touch()
    assert ups("data", "export", "a.h5", "b.h5")[0] == 2
    assert ups("data", "export", "a.h5", "b.h5", "--force")[0] == 0
    code, _, err = ups("data", "export", "a.h5", "c.h5", "--format", "hdf")
    assert (code, err) == (2, "error: --format hdf: well, pdebench, npz can be written\n")


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("a.h5", ["boundary=round"], "no boundary is called 'round'"),
        ("a.h5", ["kind=wel"], "did you mean 'well'"),
        ("a.npz", [], "which axis is what? give dims="),
        (
            "a.npz",
            ["dims=sample time y z"],
            "no array has the axes sample time y z that dims names; the file has u (6, 14, 32)",
        ),
        ("a.npz", ["dimz=3"], "'dimz': no such setting (did you mean 'dims'?)"),
        ("none.nc", [], "none.nc: no such file"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "check"])
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(ups, tmp_path, command, name, words, message):
    save(tmp_path / "a.h5")
    np.savez(tmp_path / "a.npz", u=np.zeros((6, 14, 32)))
    code, _, err = ups("data", command, name, *words)
    assert code == 2
    (said,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert message in said
