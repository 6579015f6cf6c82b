import numpy as np
import pytest

from ups.config import override
from ups.data.simulated import Simulated
from ups.evaluation.rows import trajectory_scores
from ups.recipes import own
from ups.record import read
from ups.runs.pipeline import run

SMALL = (
    "operator.width=8",
    "operator.num_blocks=1",
    "baselines.tuned_fno.width=8",
    "training.updates=10",
    "training.num_validations=1",
)


@pytest.mark.usefixtures("without_report")
def test_an_array_of_an_equation_that_nobody_names_gives_its_law_and_a_ladder(tmp_path):
    how = {"equation": "fisher_kpp", "num_trajectories": 20, "num_cells": 64, "num_frames": 12}
    made = Simulated(**how).load(tmp_path)
    np.save(tmp_path / "mine.npy", made.values[:, :, 0].numpy())
    said = (
        "data.kind=arrays",
        f"data.file={tmp_path / 'mine.npy'}",
        "data.dims=sample time x",
        "data.fields=[u]",
        f"data.dt={made.fields.dt}",
        f"data.extent={made.fields.grid.extent[0]}",
        "data.boundary=periodic",
    )
    run(override(own.data(), (*said, *SMALL)), tmp_path / "run")
    found = read(tmp_path / "run")
    assert [rung.name for rung in found.ladder] == [
        "persistence",
        "tuned_fno",
        "network",
        "law",
        "operator",
        "codec ceiling",
    ]
    line = found.guards["law"][0]
    assert line.startswith("u_t = ")
    assert "u_xx" in line
    assert "u^2" in line
    scores = trajectory_scores(tmp_path / "run" / "rows.parquet", "pdebench", "nrmse")
    assert scores["law"].mean() < 0.1 * scores["persistence"].mean()
