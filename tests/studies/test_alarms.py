import numpy as np

import records
from toy_study import finish, study
from ups.studies.alarms import RARE, alarms, is_too_alike
from ups.studies.folder import read_study


def test_what_the_training_found_wrong_and_an_error_that_cannot_be_are_said(tmp_path):
    finding = {"operator": records.fitted(updates=100, finding="the rollout is lost after update 40")}
    finish(study(), tmp_path, planted_seed1={"stages": finding}, nothing_seed1={"ceiling": 9.0})
    said = list(alarms(read_study(tmp_path)))
    assert "planted, training of operator: the rollout is lost after update 40" in said
    assert len(said) == 1  # one seed of three has such a row: nothing is concluded
    high = {f"nothing_seed{seed}": {"ceiling": 9.0} for seed in (0, 1, 2)}
    low = {f"planted_seed{seed}": {"ceiling": 0.1} for seed in (0, 1, 2)}
    finish(study(), tmp_path / "high", **high, **low)
    (line,) = alarms(read_study(tmp_path / "high"))
    assert line.startswith("nothing: its error lies below that of the codec alone")


def drawn(rng, seeds=3, trajectories=20, apart=0.0):
    hard = rng.normal(size=trajectories)
    return 5 + hard + apart * rng.normal(size=(seeds, 1)) + 0.3 * rng.normal(size=(seeds, trajectories))


def test_independent_seeds_are_rarely_called_too_alike():
    rng = np.random.default_rng(0)
    for seeds in (3, 5):
        alike = np.mean([is_too_alike(drawn(rng, seeds)) for _ in range(4000)])
        assert abs(alike - RARE) < 5 * np.sqrt(RARE / 4000)
    assert not any(is_too_alike(drawn(rng, apart=0.5)) for _ in range(1000))


def test_seeds_whose_means_agree_while_their_trajectories_do_not_are_named(tmp_path):
    rng = np.random.default_rng(0)
    scores = drawn(rng)
    assert is_too_alike(scores - scores.mean(1, keepdims=True) + scores.mean())
    assert not is_too_alike(scores[:2])  # two tell nothing
    assert not is_too_alike(np.repeat(scores[:1], 3, 0))  # copies are told by another alarm
    scores[0, 0] = np.inf
    assert not is_too_alike(scores)
    finish(study(), tmp_path)
    read = read_study(tmp_path)
    runs = read.variants[1]
    runs.__dict__["scores"] = runs.scores - runs.scores.mean(1, keepdims=True) + runs.scores.mean()
    (line,) = alarms(read)
    assert line.startswith("planted: its seeds agree more closely")
