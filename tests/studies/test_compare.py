import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import records
from toy_study import Toy, finish, run, study
from ups.config import override
from ups.studies.compare import SAME, compare
from ups.studies.compare_page import NAME, findings, read_rates, write_comparison
from ups.types import UserError


def made(folder, name, tested=None, recorded=(), **settings):
    """One toy run; `recorded` is what its record says otherwise."""
    run(Toy.model_validate(settings), folder / name, tested, **dict(recorded))
    return folder / name


def judgement(found, group):
    (line,) = [each for each in found.lines if each.rung == "operator" and each.group == group]
    return line.judgement


def several(folder, name, seeds=(0, 1, 2, 3, 4), **settings):
    return [made(folder, f"{name}-seed{seed}", seed=seed, **settings) for seed in seeds]


def test_one_thing_that_differs_and_three_seeds_give_a_verdict_of_the_right_size(tmp_path):
    found = compare([*several(tmp_path, "plain"), *several(tmp_path, "better", effect=0.3)])
    assert [group.name for group in found.groups] == ["plain", "better"]
    assert [each.path for each in found.differing["better"]] == ["effect"]
    said = judgement(found, "better")
    assert said.word == "better"
    assert said.effect.mean == pytest.approx(0.3, abs=0.05)
    assert found.headline == "operator"
    assert found.equal == ("persistence",)


def test_two_settings_that_differ_are_both_named_and_neither_gets_the_verdict(tmp_path):
    found = compare([*several(tmp_path, "plain"), *several(tmp_path, "other", effect=0.3, head={"width": 5})])
    said = judgement(found, "other")
    assert said.word == "no verdict"
    assert "effect" in said.text
    assert "head.width" in said.text
    assert said.effect.mean == pytest.approx(0.3, abs=0.05)


def test_the_same_run_twice_is_within_noise(tmp_path):
    folder = made(tmp_path, "one")
    shutil.copytree(folder, tmp_path / "copy")
    found = compare([folder, tmp_path / "copy"])
    assert judgement(found, "copy").text == SAME
    assert found.differing == {"copy": []}
    assert "copy differs from one in nothing." in list(findings(found))


def test_one_seed_gives_no_verdict(tmp_path):
    found = compare([made(tmp_path, "one"), made(tmp_path, "two", effect=0.5)])
    assert judgement(found, "two").word == "not enough seeds"


def test_other_data_give_no_verdict(tmp_path):
    one = made(tmp_path, "one", tested=["t0", "t1"])
    two = made(tmp_path, "two", tested=["t2", "t3"], recorded={"data": records.data(digest="d2")})
    said = judgement(compare([one, two]), "two")
    assert said.text == "no verdict: tested on other trajectories"


def test_runs_are_paired_by_what_they_were_tested_on_not_by_place(tmp_path):
    plain = [
        made(tmp_path, f"a-seed{seed}", tested=["t0", "t1", "t2", "t3"], seed=seed, noise=0.0)
        for seed in (0, 1, 2)
    ]
    other = [
        made(tmp_path, f"b-seed{seed}", tested=["t3", "t2", "t1"], seed=seed, noise=0.0, effect=0.5)
        for seed in (0, 1, 2)
    ]
    effect = judgement(compare([*plain, *other]), "b").effect
    assert effect == pytest.approx((0.5, 0.5, 0.5))


def test_another_machine_is_a_thing_that_differs(tmp_path):
    one = several(tmp_path, "one")
    two = [
        made(tmp_path, f"two-seed{s}", seed=s, effect=0.3, recorded={"machine": {"threads": 2}})
        for s in range(5)
    ]
    said = judgement(compare([*one, *two]), "two")
    assert said.word == "no verdict"
    assert "machine.threads" in said.text


def test_verdicts_of_many_runs_share_their_confidence(tmp_path):
    """What passes alone is within noise among others, as in a study."""
    plain, slight = several(tmp_path, "plain"), several(tmp_path, "slight", effect=0.022)
    others = [several(tmp_path, f"wide{width}", head={"width": width}) for width in (5, 6)]
    assert judgement(compare([*plain, *slight]), "slight").word == "better"
    found = compare([*plain, *slight, *others[0], *others[1]])
    assert judgement(found, "slight").word == "within noise"


def test_the_page_says_it_all_and_nothing_of_a_name_becomes_markup(tmp_path):
    plain = several(tmp_path, "plain")
    odd = made(tmp_path, "<script>alert(1)<|script>", effect=0.3)
    found = compare([*plain, odd])
    write_comparison(found, tmp_path / "page")
    page, text = ((tmp_path / "page" / name).read_text() for name in ("report.html", "report.md"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "effect" in text
    numbers = json.loads((tmp_path / "page" / NAME).read_text())
    assert numbers["differs"] == {odd.name: ["effect"]}
    (line,) = [each for each in numbers["rungs"] if each["rung"] == "operator" and each["run"] == odd.name]
    assert line["change"][0] == pytest.approx(judgement(found, odd.name).effect.mean)
    assert np.isfinite(line["error"]).all()


def test_money_is_marked_as_an_assumption(tmp_path):
    (tmp_path / "rates.yaml").write_text("per_hour: 3600\ncurrency: CHF\n")
    found = compare([made(tmp_path, "one"), made(tmp_path, "two", effect=0.5)])
    write_comparison(found, tmp_path / "page", read_rates(tmp_path / "rates.yaml"))
    text = (tmp_path / "page" / "report.md").read_text()
    assert "CHF an hour: an assumption" in text
    seconds = found.groups[0].first.record.stages["operator"].seconds
    assert re.search(rf"\| operator \| one \| 100 \| 0 \| [^|]* \| 1.00? \| {seconds:.3g}", text)
    (tmp_path / "rates.yaml").write_text("per_houre: 2\n")
    with pytest.raises(UserError, match="did you mean 'per_hour'"):
        read_rates(tmp_path / "rates.yaml")


def test_bad_input_is_one_line(tmp_path):
    one = made(tmp_path, "one")
    damaged = made(tmp_path, "damaged", effect=0.2)
    (damaged / "rows.parquet").write_bytes(b"PAR1")
    unfinished = made(tmp_path, "unfinished", recorded={"finished": ""})
    for folders, message in (
        ([one], "two runs or more"),
        ([one, tmp_path / "nowhere"], "not a finished run"),
        ([one, damaged], "missing or damaged"),
        ([one, unfinished], "not finished"),
    ):
        with pytest.raises(UserError, match=message) as error:
            compare(folders)
        assert "\n" not in str(error.value)


def test_the_command_writes_its_own_folder_and_no_other(tmp_path):
    finish(study(seeds=(0,)), tmp_path / "study")
    runs = [str(tmp_path / "study" / f"{name}-seed0") for name in ("base", "planted")]

    def call(*words):
        command = [sys.executable, "-m", "ups", "compare", *runs, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert call().returncode == 0
    folder = tmp_path / "comparisons" / "base-seed0-planted-seed0"
    assert (folder / "report.html").exists()
    assert call().returncode == 0  # its own folder is made again
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for bad in (tmp_path / "mine", Path(runs[0]), Path(runs[0]) / "new"):
        found = call("--out", str(bad))
        assert found.returncode == 2
        assert found.stderr.count("\n") == 1
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_the_kind_of_a_part_counts_as_one_thing(tmp_path):
    from tiny_recipe import tiny

    one, two = tiny(), override(tiny(), ["operator.kind=spectral_rate"])
    for name, settings in (("one", one), ("two", two)):
        made(tmp_path, name, recorded={"settings": settings.model_dump(mode="json"), "seed": 0})
    found = compare([tmp_path / "one", tmp_path / "two"])
    assert "operator.kind" in [each.path for each in found.differing["two"]]
