import numpy as np

from ups.studies.ladder_table import ladder_table
from ups.studies.plates import make_plates
from ups.studies.run_folder import read_run


def test_a_run_without_examples_logs_and_costs_has_the_error_figure_alone(make_run, tmp_path):
    errors = 0.1 + np.random.default_rng(0).random((6, 4))
    run = read_run(make_run({"persistence": errors, "operator": 0.1 * errors}, ["trivial", "ours"]))
    plates = make_plates(
        run, [ladder_table(run, question) for question in run.questions], tmp_path / "figures"
    )
    assert [plate.stem for plate in plates] == ["error_pdebench"]
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["error_pdebench.png"]


def test_one_scored_frame_has_no_curve(make_run, tmp_path):
    run = read_run(make_run({"operator": np.ones((6, 1))}, ["ours"]))
    assert (
        make_plates(run, [ladder_table(run, question) for question in run.questions], tmp_path / "figures")
        == []
    )
