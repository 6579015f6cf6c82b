import json

import numpy as np

from ups.reports.ladder_table import ladder_table
from ups.reports.plates import make_plates
from ups.reports.run_folder import read_run


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


def test_the_caption_of_training_explains_what_was_logged_and_nothing_else(make_run, tmp_path):
    def caption(**extra):
        run = read_run(make_run({"operator": np.ones((6, 1))}, ["ours"]))
        (run.path / "stages" / "operator").mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"update": update, "loss": 0.1, "trivial": 0.2} | extra) for update in range(3)]
        (run.path / "stages" / "operator" / "log.jsonl").write_text("\n".join(lines))
        return make_plates(run, [ladder_table(run, run.questions[0])], tmp_path / "figures")[0].caption

    bare = caption()
    assert "Dashed" not in bare
    assert "Blue" not in bare
    assert caption(validation=0.5).endswith("Dashed: the update whose weights are kept.")
    watched = caption(validation=0.5, train=0.1, held_out=0.1)
    assert "Blue and orange: the averaged weights on fixed training and held-out windows" in watched


def test_calls_are_drawn_where_rungs_differ_in_them(make_run, tmp_path):
    errors = 0.1 + np.random.default_rng(0).random((6, 1))
    folder = make_run({"operator": errors, "corrector": 0.5 * errors, "student": 0.6 * errors}, ["ours"] * 3)

    def stems(calls):
        run = read_run(folder)
        ladder = [
            entry.model_copy(update={"calls_per_frame": calls.get(entry.name)}) for entry in run.record.ladder
        ]
        (folder / "run.json").write_text(run.record.also(ladder=tuple(ladder)).model_dump_json())
        run = read_run(folder)
        plates = make_plates(run, [ladder_table(run, run.questions[0])], tmp_path / "figures")
        return [plate.stem for plate in plates]

    assert "error_calls" not in stems({"corrector": 4})
    assert "error_calls" in stems({"corrector": 4, "student": 1})
