import json
import math

import toy

from ups.training.fit import fit
from ups.training.stability import finding
from ups.training.stages import Forecast
from ups.training.store import Store


def rows(held_out, validation):
    return [
        {"update": 10 * number, "loss": 1.0, "held_out": h, "validation": v}
        for number, (h, v) in enumerate(zip(held_out, validation, strict=True), 1)
    ]


def test_an_operator_whose_rollout_blows_up_while_it_learns_is_named_with_its_numbers():
    measured = rows([0.95, 0.32, 2.9e-3, 1.6e-6, 2e-6], [1.38, 26.0, 9.5e4, 5.5e6, None])
    assert finding(measured, 10) == (
        "few steps ahead are learned, many are lost: from update 10, whose weights are kept, to update 40 the held-out "
        "loss falls from 0.95 to 1.6e-06 of the trivial predictor's, but the error of the validation rollout rises "
        "from 1.4 to 5.5e+06; try training.noise=0.05, or a longer training.unroll"
    )
    assert "to inf;" in finding(rows([0.9, 0.1], [1.0, None]), 10)


def test_what_learns_both_or_overfits_or_was_not_scored_is_no_fault():
    falls = [0.9, 0.3, 0.1, 0.05]
    assert finding(rows(falls, falls), 40) is None
    assert finding(rows(falls, [1.0, 0.5, 0.3, 0.4]), 30) is None
    assert finding(rows(falls[::-1], [0.3, 0.9, 2.0, 3.0]), 10) is None
    assert finding([{"update": 10, "held_out": 0.9}, {"update": 20, "held_out": 0.1}], 10) is None
    assert finding([{"update": 10, "loss": 1.0, "validation": 1.0}], 10) is None
    assert finding([], 10) is None


def test_a_run_says_it_and_writes_it_down(tmp_path, caplog):
    scores = iter([1.0, 1.5, 3.0, 7.0, math.inf])
    with Store(tmp_path) as store:
        settings = toy.settings(updates=100, num_validations=5)
        stage = Forecast("operator", toy.Shift(), settings.unroll)
        fitted = fit(
            stage, toy.waves(), store, settings, 0, validate=lambda: next(scores), held_out=toy.waves()
        )
    assert fitted.best_update == 20
    assert fitted.finding.startswith("few steps ahead are learned, many are lost: from update 20")
    assert caplog.records[-1].message == f"stage 'operator': {fitted.finding}"
    finished = json.loads((tmp_path / "stages/operator/finished.json").read_text())
    assert finished["fitted"]["finding"] == fitted.finding
