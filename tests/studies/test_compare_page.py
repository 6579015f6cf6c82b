import json
from pathlib import Path

from toy_study import Toy, run
from ups.studies.compare import compare
from ups.studies.compare_page import stage_costs, write_comparison


def test_costs_are_means_over_the_runs_of_a_group_and_against_the_first(tmp_path):
    for name, seed, effect in (("a-seed0", 0, 0.0), ("a-seed1", 1, 0.0), ("b-seed0", 0, 0.1)):
        run(Toy(seed=seed, effect=effect), tmp_path / name)
    found = compare(sorted(tmp_path.iterdir()))
    costs = {cost.group: cost for cost in stage_costs(found.groups)}
    assert set(costs) == {"a", "b-seed0"}
    assert costs["a"].times == costs["b-seed0"].times == 1.0
    assert costs["a"].updates == 100


def test_trainings_and_errors_in_time_are_drawn_for_real_logs(tmp_path):
    rows = [
        {"update": n, "loss": 1 / n, "trivial": 1.0, "gradient": 2.0, "skipped": int(n == 3)}
        for n in (1, 2, 3)
    ]
    logs = "\n".join(map(json.dumps, rows))
    for name, effect in (("a", 0.0), ("b", 0.1)):
        run(Toy(effect=effect), tmp_path / name)
        (tmp_path / name / "stages" / "operator").mkdir(parents=True)
        (tmp_path / name / "stages" / "operator" / "log.jsonl").write_text(logs)
    found = compare([tmp_path / "a", tmp_path / "b"])
    write_comparison(found, tmp_path / "page")
    drawn = [path.name for path in Path(tmp_path / "page" / "figures").iterdir()]
    assert drawn == ["training.png"]  # the toy's rows have no frames
    assert "loss / trivial" in (tmp_path / "page" / "report.html").read_text()
