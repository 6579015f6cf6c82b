import json
import math
import random
import shutil
import signal
import time

import pytest
import torch
import toy
from safetensors.torch import load_file

from ups.training.fit import DivergenceError, Interrupted, fit
from ups.training.stages import Forecast
from ups.training.store import Store
from ups.types import UserError


def kept(folder):
    return load_file(folder / "stages/operator/model.safetensors")


def log(folder):
    lines = (folder / "stages/operator/log.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if "seconds" not in name} for line in lines
    ]


def same(first, second):
    first, second = kept(first), kept(second)
    return all(torch.equal(first[name], second[name]) for name in first)


def start(folder, **changes):
    """Train in another process, which knows torch already."""
    process = toy.processes().Process(target=toy.train, args=(str(folder),), kwargs=changes)
    process.start()
    return process


def kill_again_and_again(folder, times, **changes):
    """Kill the run at random moments after its first checkpoint, then let it get through."""
    clock = random.Random(0)
    for _ in range(times):
        process = start(folder, **changes)
        while not (folder / "stages/operator/checkpoint.safetensors").exists():
            time.sleep(0.01)
        time.sleep(clock.uniform(0.2, 0.6))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL  # it was still at work
    process = start(folder, **changes)
    process.join(60)
    assert process.exitcode == 0


def test_the_stage_learns_the_advection_of_waves(tmp_path):
    stepper, fitted = toy.train(tmp_path, updates=400, batch_size=16)
    assert fitted.skill < 0.05
    assert fitted.updates == 400
    assert fitted.num_parameters == 6
    # the model at the end is the one that was scored best
    held_out = toy.waves(16, seed=1)
    state = held_out.values[:, 0]
    for _ in range(4):
        state = stepper.advance(state)
    assert (state - held_out.values[:, 4]).square().mean().item() == pytest.approx(fitted.score, rel=1e-6)
    assert not stepper.training


def test_a_run_killed_at_random_moments_ends_like_one_that_was_not(tmp_path):
    changes = {"updates": 150, "checkpoint_every_seconds": 0.001}
    kill_again_and_again(tmp_path / "killed", 3, pause=0.015, **changes)
    toy.train(tmp_path / "whole", **changes)
    assert same(tmp_path / "killed", tmp_path / "whole")
    assert log(tmp_path / "killed") == log(tmp_path / "whole")


def test_a_killed_run_with_a_budget_in_seconds_follows_its_stored_plan(tmp_path):
    changes = {"updates": None, "seconds": 2.0, "pause": 0.01, "checkpoint_every_seconds": 0.001}
    kill_again_and_again(tmp_path / "killed", 1, **changes)
    (tmp_path / "whole/stages/operator").mkdir(parents=True)
    shutil.copy(tmp_path / "killed/stages/operator/plan.json", tmp_path / "whole/stages/operator")
    _, fitted = toy.train(tmp_path / "whole", **changes)
    assert fitted.updates > 10
    assert same(tmp_path / "killed", tmp_path / "whole")
    assert log(tmp_path / "killed") == log(tmp_path / "whole")


def test_a_budget_in_seconds_is_kept(tmp_path):
    begin = time.thread_time()
    _, fitted = toy.train(tmp_path, updates=None, seconds=2.0, pause=0.05)
    assert time.thread_time() - begin == pytest.approx(2.0, rel=0.3)
    assert fitted.cpu_seconds == pytest.approx(2.0, rel=0.3)
    assert fitted.seconds >= 0.9 * fitted.cpu_seconds
    assert fitted.planned_seconds == 2.0
    assert fitted.seconds != 2.0, "what is planned is not what is measured"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_a_checkpoint_and_the_next_run_resumes(tmp_path, signum):
    calls = []

    def draw(*arguments):
        calls.append(1)
        if len(calls) == 22:
            signal.raise_signal(signum)
        return toy.draw_windows(*arguments)

    stage = Forecast("operator", toy.Shift(), toy.settings().unroll)
    with Store(tmp_path / "stopped") as store, pytest.raises(Interrupted) as stop:
        fit(stage, toy.waves(), store, toy.settings(), 0, draw=draw)
    assert stop.value.signum == signum
    assert signal.Signals(signum).name in str(stop.value)
    record = json.loads((tmp_path / "stopped/stages/operator/plan.json").read_text())
    with Store(tmp_path / "stopped") as store:
        _, numbers = store.stage("operator", record["digest"]).checkpoint()
        assert numbers["update"] == 21  # the proof of the gradient drew the first batch
        store.stage("operator", record["digest"]).append({"update": 30})  # logged after it, then killed
    toy.train(tmp_path / "stopped", validated=False, model_seed=5)
    toy.train(tmp_path / "whole", validated=False)
    assert same(tmp_path / "stopped", tmp_path / "whole")
    assert log(tmp_path / "stopped") == log(tmp_path / "whole")


def test_a_finished_stage_returns_at_once_with_its_weights(tmp_path):
    stepper, fitted = toy.train(tmp_path)
    again, same_fitted = toy.train(tmp_path, model_seed=7, pause=1000.0)
    assert same_fitted == fitted
    assert torch.equal(again.kernel, stepper.kernel)


def test_other_settings_or_another_seed_in_the_same_folder_are_refused(tmp_path):
    toy.train(tmp_path, updates=5)
    for changes in ({"updates": 6}, {"updates": 5, "seed": 1}, {"updates": 5, "clip": None}):
        with pytest.raises(UserError, match="holds a run with other settings"):
            toy.train(tmp_path, **changes)


def test_seeds_differ_and_repeat(tmp_path):
    first, _ = toy.train(tmp_path / "a", seed=0)
    again, _ = toy.train(tmp_path / "b", seed=0)
    other, _ = toy.train(tmp_path / "c", seed=1)
    assert torch.equal(first.kernel, again.kernel)
    assert not torch.equal(first.kernel, other.kernel)


def test_validation_leaves_training_as_it_is_to_the_bit(tmp_path):
    constant = {"ema_decay": 0.0, "unroll": [[0.0, 1]]}
    toy.train(tmp_path / "with", num_validations=60, **constant)
    toy.train(tmp_path / "without", num_validations=60, validated=False, **constant)
    rows = {row["update"]: row for row in log(tmp_path / "with")}
    assert all("validation" in row for row in rows.values())
    for row in log(tmp_path / "without"):
        del rows[row["update"]]["validation"]
        assert rows[row["update"]] == row  # equal losses and gradient norms to the last bit


@pytest.mark.parametrize("validated", [True, False])
def test_the_watch_leaves_training_as_it_is_to_the_bit(tmp_path, validated):
    changes = {"validated": validated, "log_every": 1, "num_validations": 7}
    watched, fitted = toy.train(tmp_path / "with", watched=True, **changes)
    alone, plain = toy.train(tmp_path / "without", **changes)
    assert same(tmp_path / "with", tmp_path / "without")
    assert torch.equal(watched.kernel, alone.kernel)
    assert (fitted.skill, fitted.score, fitted.best_update) == (plain.skill, plain.score, plain.best_update)
    rows = log(tmp_path / "with")
    assert sum(row.pop("train", 0) > 0 and row.pop("held_out", 0) > 0 for row in rows) == 7
    assert rows == log(tmp_path / "without")


def test_the_time_that_the_watch_takes_is_part_of_the_budget(tmp_path):
    class Slow(Forecast):
        def diagnose(self, batch, generator):
            toy.burn(0.15)
            return {}

    settings = toy.settings(updates=None, seconds=2.0)
    begin = time.thread_time()
    with Store(tmp_path) as store:
        stage = Slow("operator", toy.Shift(), settings.unroll)
        fitted = fit(stage, toy.waves(), store, settings, 0, held_out=toy.waves(16, seed=1))
    assert fitted.updates > 5
    assert time.thread_time() - begin < 3.0  # five times two batches take 1.5 s


PATIENT = {
    "updates": 400,
    "num_validations": 80,
    "patience": 4,
    "learning_rate": 0.05,
    "schedule": "constant",
}


def test_a_run_without_progress_stops_early_and_keeps_the_best(tmp_path):
    scores = iter([5.0, 1.0, 3.0, float("nan"), 1.0, 0.0])
    stage = Forecast("operator", toy.Shift(), toy.settings().unroll)
    settings = toy.settings(num_validations=6, patience=3)
    with Store(tmp_path) as store:
        fitted = fit(stage, toy.waves(), store, settings, 0, validate=lambda: next(scores))
    assert fitted.stopped_early
    assert (fitted.updates, fitted.best_update, fitted.score) == (50, 20, 1.0)
    assert next(scores) == 0.0


def test_a_run_that_gets_better_to_the_end_is_not_stopped(tmp_path):
    patient, fitted = toy.train(tmp_path / "patient", patience=2)
    whole, _ = toy.train(tmp_path / "whole")
    assert not fitted.stopped_early
    assert fitted.updates == 60
    assert torch.equal(patient.kernel, whole.kernel)


def test_without_a_score_the_held_out_loss_decides(tmp_path):
    _, fitted = toy.train(tmp_path, validated=False, watched=True, **PATIENT)
    held_out = {row["update"]: row["held_out"] for row in log(tmp_path) if "held_out" in row}
    assert fitted.stopped_early
    assert fitted.score == min(held_out.values())
    assert fitted.best_update == min(held_out, key=held_out.get)
    assert list(held_out).index(fitted.best_update) == len(held_out) - 5


def test_a_killed_run_with_patience_stops_where_one_that_was_not_killed_does(tmp_path):
    changes = {**PATIENT, "watched": True, "validated": False, "checkpoint_every_seconds": 0.001}
    kill_again_and_again(tmp_path / "killed", 2, pause=0.01, **changes)
    _, fitted = toy.train(tmp_path / "whole", **changes)
    assert fitted.stopped_early
    assert same(tmp_path / "killed", tmp_path / "whole")
    assert log(tmp_path / "killed") == log(tmp_path / "whole")
    finished = json.loads((tmp_path / "killed/stages/operator/finished.json").read_text())["fitted"]
    clocks = {"seconds": 0, "cpu_seconds": 0}
    assert finished | clocks == vars(fitted) | clocks


def test_a_run_interrupted_when_it_had_decided_to_stop_does_not_go_on(tmp_path):
    scores = iter([1.0, 2.0, 3.0])

    def validate():
        score = next(scores)
        if score == 3.0:
            signal.raise_signal(signal.SIGTERM)
        return score

    settings = toy.settings(num_validations=6, patience=2)
    stage = Forecast("operator", toy.Shift(), settings.unroll)
    with Store(tmp_path) as store, pytest.raises(Interrupted):
        fit(stage, toy.waves(), store, settings, 0, validate=validate)
    with Store(tmp_path) as store:
        stage = Forecast("operator", toy.Shift(1), settings.unroll)
        fitted = fit(stage, toy.waves(), store, settings, 0, validate=lambda: next(scores))
    assert fitted.stopped_early
    assert (fitted.updates, fitted.best_update) == (30, 10)


def test_the_global_generator_is_neither_used_nor_moved(tmp_path):
    before = torch.get_rng_state()
    toy.train(tmp_path, updates=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_that_validated_best_are_kept(tmp_path):
    # a rate so high that the run is best in the middle
    scores = iter([5.0, 1.0, 3.0, float("nan")])
    seen = []
    stepper = toy.Shift()

    def validate():
        seen.append(stepper.kernel.detach().clone())
        return next(scores)

    stage = Forecast("operator", stepper, toy.settings().unroll)
    with Store(tmp_path) as store:
        fitted = fit(stage, toy.waves(), store, toy.settings(), 0, validate=validate)
    assert (fitted.score, fitted.best_update) == (1.0, 30)
    assert torch.equal(stepper.kernel, seen[1])
    assert not torch.equal(stepper.kernel, seen[3])


def test_a_start_that_is_an_answer_is_kept_if_nothing_better_follows(tmp_path):
    for best, scores in ((0, [0.5, 5.0, 1.0, 3.0, 2.0]), (15, [0.5, 0.1, 1.0, 3.0, 2.0])):
        left, stepper = iter(scores), toy.Shift()
        before = stepper.kernel.detach().clone()
        stage = Forecast("operator", stepper, toy.settings().unroll)
        with Store(tmp_path / str(best)) as store:
            how = {"validate": lambda left=left: next(left), "starts_as_answer": True}
            fitted = fit(stage, toy.waves(), store, toy.settings(), 0, **how)
        assert (fitted.score, fitted.best_update) == (min(scores), best)
        assert torch.equal(stepper.kernel, before) == (best == 0)


def test_what_is_validated_is_the_average_of_the_weights(tmp_path):
    weights = []

    class Watched(toy.Shift):
        def advance(self, state, generator=None):
            weights.append(self.kernel.detach().double().flatten().clone())
            return super().advance(state, generator)

    stepper, validated = Watched(), []

    def validate():
        validated.append(stepper.kernel.detach().double().flatten())
        return 0.0

    settings = toy.settings(updates=20, unroll=[[0.0, 1]], num_validations=1)
    with Store(tmp_path) as store:
        fit(
            Forecast("operator", stepper, settings.unroll), toy.waves(), store, settings, 0, validate=validate
        )
    weights = weights[1:]  # the first call is the proof of the gradient
    raw = {"updates": 20, "unroll": [[0.0, 1]], "ema_decay": 0.0, "validated": False}
    average, final = weights[0], toy.train(tmp_path / "raw", **raw)[0]
    for update, weight in enumerate([*weights[1:20], final.kernel.detach().double().flatten()]):
        d = min(0.9, (1 + update) / (10 + update))
        average = d * average + (1 - d) * weight
    torch.testing.assert_close(validated[0], average, rtol=1e-4, atol=1e-6)


def test_a_run_that_skips_too_often_stops_with_the_reason(tmp_path):
    data = toy.waves()
    data.values[:, 5] = math.nan
    stage = Forecast("operator", toy.Shift(), toy.settings().unroll)
    settings = toy.settings(max_skips=3, batch_size=1, updates=1000)
    with Store(tmp_path) as store, pytest.raises(DivergenceError) as stop:
        fit(stage, data, store, settings, 0)
    assert "4 updates were skipped" in str(stop.value)
    assert "loss nan" in str(stop.value)
    assert all(parameter.isfinite().all() for parameter in stage.model.parameters())
    skipped = [row for row in log(tmp_path) if row["skipped"]]
    assert len(skipped) == 4
    assert skipped[0]["loss"] is None


def test_gradients_above_the_warning_are_told_and_counted_by_the_log(tmp_path, caplog):
    toy.train(tmp_path, updates=10, warn_gradient=1e-6, log_every=1)
    assert len(caplog.records) == 10
    assert "operator: gradient norm" in caplog.records[0].message


def test_the_log_follows_the_plan(tmp_path):
    toy.train(tmp_path, updates=100, learning_rate=0.01, warmup=0, log_every=1, num_validations=4)
    rows = log(tmp_path)
    assert [row["update"] for row in rows] == list(range(1, 101))
    assert [row["update"] for row in rows if "validation" in row] == [25, 50, 75, 100]
    for row in rows:
        assert row["progress"] == pytest.approx((row["update"] - 1) / 100)
        assert row["learning_rate"] == pytest.approx(0.005 * (1 + math.cos(math.pi * row["progress"])))
    # from half of the budget on, the frames are further from the context
    halves = [sum(row["trivial"] for row in part) for part in (rows[:50], rows[50:])]
    assert halves[1] > 1.5 * halves[0]


def test_progress_and_tracker_hear_of_the_run(tmp_path):
    heard, fractions = [], []

    class Listener:
        def start(self, name, settings):
            heard.append(("start", name, settings["updates"]))

        def log(self, row, update):
            heard.append(("log", update, row["loss"]))

        def end(self):
            heard.append(("end",))

    stage = Forecast("operator", toy.Shift(), toy.settings().unroll)
    with Store(tmp_path) as store:
        fit(
            stage,
            toy.waves(),
            store,
            toy.settings(),
            0,
            tracker=Listener(),
            progress=lambda fraction, text: fractions.append((fraction, text)),
        )
    assert heard[0] == ("start", "operator", 60)
    assert [call[1] for call in heard[1:-1]] == list(range(5, 61, 5))
    assert heard[-1] == ("end",)
    assert [fraction for fraction, _ in fractions] == pytest.approx([u / 60 for u in range(1, 61)])
    assert "of trivial" in fractions[-1][1]
    assert "updates/s" in fractions[-1][1]


def test_a_milestone_sees_every_update_and_the_last_one_once_and_changes_nothing(tmp_path):
    seen = []

    def look(state, last):
        seen.append((state.update, last))
        with state.ema.swapped_in():
            time.sleep(0.002)
        return {"looked": float(state.update)} if state.update % 7 == 0 else {}

    for name, milestone in (("plain", None), ("watched", look)):
        stage = Forecast("operator", toy.Shift(), toy.settings().unroll)
        with Store(tmp_path / name) as store:
            fit(stage, toy.waves(), store, toy.settings(), 0, milestone=milestone)
    assert same(tmp_path / "plain", tmp_path / "watched")
    assert seen == [(update, update == 60) for update in range(1, 61)]
    rows = log(tmp_path / "watched")
    assert {row["update"]: row["looked"] for row in rows if "looked" in row} == {
        n: n for n in range(7, 61, 7)
    }
    plain = {row["update"]: row["loss"] for row in log(tmp_path / "plain")}
    assert plain.items() <= {row["update"]: row["loss"] for row in rows}.items()


def test_the_time_of_milestones_is_not_the_cost_of_training(tmp_path):
    stage = Forecast("operator", toy.Shift(), toy.settings().unroll)

    def sleep(state, last):
        time.sleep(0.05)
        return {}

    begin = time.monotonic()
    with Store(tmp_path) as store:
        fitted = fit(stage, toy.waves(), store, toy.settings(), 0, milestone=sleep)
    assert time.monotonic() - begin - fitted.seconds > 60 * 0.05


def test_a_training_that_stops_early_has_a_last_milestone_too(tmp_path):
    stage, last_ones = Forecast("operator", toy.Shift(), toy.settings().unroll), []

    def look(state, last):
        last_ones.extend([state.update] * last)
        return {}

    with Store(tmp_path) as store:
        settings = toy.settings(num_validations=10, patience=2)
        fitted = fit(stage, toy.waves(), store, settings, 0, validate=lambda: 1.0, milestone=look)
    assert fitted.stopped_early
    assert last_ones == [fitted.updates]
