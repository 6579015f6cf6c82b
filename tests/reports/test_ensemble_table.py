import shutil

import numpy as np
import pytest

from records import edit
from toy_ensembles import NUM_MEMBERS, Pushed, write_ensemble_run
from ups.evaluation.ladder import Rung
from ups.evaluation.uncertainty import nominal_coverage
from ups.reports.ensemble_table import TIMES, calibration_word, ensemble_table
from ups.reports.ladder_table import ladder_table
from ups.reports.run_folder import read_run
from ups.reports.wording import number, percent
from ups.statistics.bootstrap import Interval


def table_of(folder):
    run = read_run(folder)
    return ensemble_table(run, ladder_table(run, run.questions[0]))


@pytest.fixture(scope="module")
def table(ensemble_dir):
    return table_of(ensemble_dir)


def cells(table, title):
    block = next(block for block in table.blocks if block.title == title)
    return {line.rung.name: line.cells for line in block.lines}


def test_a_run_without_ensembles_has_no_table(run_dir):
    run = read_run(run_dir)
    assert ensemble_table(run, ladder_table(run, run.questions[0])) is None


def test_scores_stand_for_every_rung_and_calibration_for_ensembles_alone(table):
    assert [block.title for block in table.blocks] == [
        "Fair CRPS",
        "Energy score",
        "Spread-skill ratio",
        "Sample spectrum",
        "Coverage and ranks",
    ]
    assert "operator" in cells(table, "Fair CRPS")
    assert set(cells(table, "Spread-skill ratio")) == {
        "wide noise",
        "corrector",
        "student",
        "perfect ensemble",
    }
    assert table.blocks[0].columns == ("horizon 1", "horizon 2", "horizon 5", "horizon 10", "all frames")


def test_a_score_is_the_mean_of_the_rows_and_its_ratio_to_the_perfect_ensemble_stands_below(
    table, ensemble_dir
):
    curves = read_run(ensemble_dir).curves("pdebench", "energy_score")
    mine, perfect = (curves[name].value[:, 1].mean() for name in ("corrector", "perfect ensemble"))
    cell = cells(table, "Energy score")["corrector"][1]
    assert cell.text == number(mine)
    assert cell.details[1].startswith(f"{TIMES} {number(mine / perfect)} [")
    assert len(cells(table, "Energy score")["perfect ensemble"][1].details) == 1


def test_verdicts_say_who_is_overconfident_and_who_is_right(table):
    said = {verdict.partition(":")[0]: verdict for verdict in table.verdicts}
    assert "above the perfect ensemble's at horizon 10" in said["corrector"]
    assert "overconfident" in said["corrector"]
    assert "underconfident" in said["wide noise"]
    assert "within noise of the perfect ensemble's" in said["student"]
    assert "calibrated within noise" in said["perfect ensemble"]
    assert "CRPS" not in said["perfect ensemble"]


def test_coverage_stands_beside_what_is_right_for_so_many_members(table):
    found = cells(table, "Coverage and ranks")["corrector"]
    assert found[0].details[1] == f"{percent(nominal_coverage(NUM_MEMBERS, 0.5))} is right"
    assert float(found[0].text.split()[0]) < 50
    assert found[2].details == ("not flat",)
    assert cells(table, "Coverage and ranks")["student"][2].details == ("flat within noise",)


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (Interval(0.96, 0.93, 0.99), "slightly overconfident"),
        (Interval(0.7, 0.65, 0.75), "overconfident"),
        (Interval(0.9, 0.7, 1.1), "calibrated within noise"),
        (Interval(1.05, 1.01, 1.09), "slightly underconfident"),
        (Interval(1.5, 1.2, 1.8), "underconfident"),
        (Interval(np.nan, np.nan, np.nan), "not known"),
    ],
)
def test_the_word_follows_the_interval(ratio, word):
    assert calibration_word(ratio) == word


def test_without_a_perfect_ensemble_nothing_is_compared_with_it(ensemble_dir, tmp_path):
    shutil.copytree(ensemble_dir, tmp_path / "run")
    edit(
        tmp_path / "run" / "run.json",
        lambda record: {
            **record,
            "ladder": [entry for entry in record["ladder"] if entry["name"] != "perfect ensemble"],
        },
    )
    table = table_of(tmp_path / "run")
    assert table.perfect == ""
    assert "perfect" not in " ".join(table.verdicts)
    assert not any("perfect" in block.note for block in table.blocks)
    assert all(len(cell.details) == 1 for cell in cells(table, "Fair CRPS")["corrector"])


def test_an_ensemble_that_blows_up_is_said_to_and_judged_on_the_rest(tmp_path):
    rungs = (
        Rung("operator", "ours", Pushed(push=0.0)),
        Rung("wild", "ours", Pushed(blows_up=True), num_members=3),
    )
    table = table_of(write_ensemble_run(tmp_path, rungs))
    wild = cells(table, "Fair CRPS")["wild"]
    assert wild[-1] == ("∞", ("blows up",))
    assert "blew up and are left out" in cells(table, "Coverage and ranks")["wild"][2].details[1]
    assert "calibrated within noise" in cells(table, "Spread-skill ratio")["wild"][0].details[1]
