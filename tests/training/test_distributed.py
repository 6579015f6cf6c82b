import json
import socket

import pytest
import toy

from ups.training import distributed


def run(folder, world_size, **changes):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        toy.processes().Process(target=toy.train_rank, args=(rank, world_size, port, str(folder), changes))
        for rank in range(world_size)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(world_size)]


def flat(result):
    kernel, bias = result["weights"]["kernel"], result["weights"]["bias"]
    return kernel[0][0] + bias


def test_two_processes_train_like_one_with_the_same_batch(tmp_path):
    (tmp_path / "pair").mkdir()
    first, second = run(tmp_path / "pair", 2, updates=30, accumulation=2)
    stepper, fitted = toy.train(tmp_path / "single", updates=30)
    alone = stepper.kernel[0, 0].tolist() + stepper.bias.tolist()
    assert flat(first) == flat(second)
    assert flat(first) == pytest.approx(alone, rel=1e-3, abs=1e-5)
    assert flat(first) != [0.0] * 6
    assert first["score"] == second["score"] == pytest.approx(fitted.score, rel=1e-3)
    rows, single = (
        list(map(json.loads, (tmp_path / name / "stages/operator/log.jsonl").read_text().splitlines()))
        for name in ("pair", "single")
    )
    assert [row["update"] for row in rows] == [row["update"] for row in single]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in single], rel=1e-3)


def test_two_processes_agree_on_a_plan_by_time(tmp_path):
    first, second = run(tmp_path, 2, updates=None, seconds=0.5)
    assert first["updates"] == second["updates"] > 1
    assert flat(first) == flat(second)


def test_two_processes_stop_early_at_the_same_update(tmp_path):
    patient = {
        "validated": False,
        "watched": True,
        "num_validations": 20,
        "patience": 2,
        "learning_rate": 0.1,
    }
    first, second = run(tmp_path, 2, **patient)
    assert first["stopped_early"]
    assert first["updates"] == second["updates"] < 60
    assert first["score"] == second["score"]
    assert flat(first) == flat(second)


def test_a_single_process_needs_no_set_up():
    distributed.start()
    assert distributed.is_main()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.broadcast(lambda: 3) == 3
    assert distributed.mean({"loss": 0.5}) == {"loss": 0.5}
    assert distributed.agree(True)
    assert not distributed.agree(False)
    distributed.stop()
