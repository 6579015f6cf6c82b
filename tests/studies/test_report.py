import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

import records
from toy_study import Toy, changed, finish, study
from ups import record
from ups.reports.wording import MINUS, percent
from ups.statistics.bootstrap import Interval
from ups.statistics.families import noise_floor
from ups.studies.folder import read_study
from ups.studies.report import answer, judged, signed, write_study_report
from ups.studies.study import Decision, PrimaryMetric
from ups.studies.verdicts import Judgement
from ups.types import UserError


class Text(HTMLParser):
    """The words of a page, one space apart, and the tags that are open at its end."""

    def __init__(self, page):
        super().__init__()
        self.words, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "br", "link", "use", "path", "image", "rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.words += data.split()

    def __str__(self):
        return " ".join(self.words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three seeds; a variant that helps, one that does nothing, and one cell on another machine."""
    folder = tmp_path_factory.mktemp("studies") / "my_study"
    faulty = {"machine": {"threads": 2}}
    finish(study(decision=Decision(minimal_percent=2.0)), folder, nothing_seed1=faulty)
    write_study_report(folder)
    return folder


def test_the_page_says_question_rule_verdicts_and_confounds(folder):
    text = str(Text((folder / "report.html").read_text()))
    assert "Does it help?" in text
    assert re.search(r"planted: better by (2[7-9]|3[0-3]) % ± \d", text)
    assert re.search(r"nothing: within noise \(.?\d", text)
    assert "at least 2 %" in text
    assert "nothing differs from the base in more than it declares: machine.threads." in text
    assert re.search(r"nothing machine\.threads 1 2 1 ", text)
    assert "effect 0.0 0.3 declared" in text
    assert "head.width 4 5 declared" in text


def test_both_forms_say_the_same_numbers(folder):
    page, markdown = str(Text((folder / "report.html").read_text())), (folder / "report.md").read_text()
    read = read_study(folder)
    for line in judged(read)[0]:
        if line.judgement:
            assert line.judgement.text in page
            assert line.judgement.text in markdown
    assert "| nothing | machine.threads | 1 | 2 | 1 |" in markdown
    assert "![Paired effect of every variant](figures/effects.png)" in markdown


def test_the_page_is_one_file_whose_tags_close_and_that_names_nothing_outside(folder):
    page = (folder / "report.html").read_text()
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert not {"html", "main", "table", "section", "figure", "svg"} & set(Text(page).open)
    assert (folder / "figures" / "effects.png").stat().st_size > 5000
    for name in re.findall(r'href="([^"#]+)/report.html"', page):
        assert (folder / name / "run.json").exists(), name


def test_a_study_without_confounds_says_so_and_two_seeds_give_no_verdict(tmp_path):
    finish(study(seeds=(0, 1), variants={"planted": ("effect=0.9",)}), tmp_path)
    write_study_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "None: the pairs of runs differ in nothing but what is declared." in text
    assert "- planted: not enough seeds: 2 of at least 3 (+90 %" in text
    assert "share that confidence" not in text


ONE_STEP = PrimaryMetric(protocol="one_step", stepper="operator", metric="nrmse")


def test_other_metrics_are_judged_by_the_same_rule_in_the_same_family(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    finish(study(), alone)
    finish(study(also=(ONE_STEP,)), together)
    write_study_report(together)
    text, page = (together / "report.md").read_text(), str(Text((together / "report.html").read_text()))
    assert re.search(r"- planted, by nrmse of operator, one_step: better by (2[7-9]|3[0-3]) % ± \d", text)
    assert "The 4 verdicts share that confidence" in text
    assert re.search(r"\| nrmse of operator, one_step \| nothing \| 1?\d\.\d+ \|", text)
    assert "By other metrics" in page
    assert "operator, one_step" in page
    lines, others, _ = judged(read_study(together))
    assert [line.name for line in others] == ["planted", "nothing"]
    errors = [line.error.mean for line in lines]
    assert np.allclose([others[0].base.mean, others[0].error.mean], [7.0 * errors[0], 7.0 * errors[1]])
    narrow = judged(read_study(alone))[0][1].judgement.effect
    wide = lines[1].judgement.effect
    assert wide.high - wide.low > 1.05 * (narrow.high - narrow.low)


def fail(folder, name, reason="it diverged"):
    (folder / name / "failed.json").write_text(json.dumps({"reason": reason}))


def test_a_run_that_failed_is_named_and_not_counted(tmp_path):
    finish(study(), tmp_path)
    fail(tmp_path, "planted-seed1")
    write_study_report(tmp_path)
    page, text = str(Text((tmp_path / "report.html").read_text())), (tmp_path / "report.md").read_text()
    assert "- planted: not enough seeds: 2 of at least 3; planted failed with seed 1" in text
    assert "> The run of planted with seed 1 failed: it diverged." in text
    assert "planted failed: seed 1" in page
    assert re.search(r"- nothing: within noise \(.?\d", text)
    assert not re.search(r"nothing: [^\n]*failed", text)


def test_a_verdict_over_the_seeds_that_are_left_says_which_are_not(tmp_path):
    finish(study(seeds=(0, 1, 2, 3, 4)), tmp_path)
    fail(tmp_path, "planted-seed1")
    fail(tmp_path, "base-seed3")
    write_study_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert re.search(
        r"- planted: better by \d+ % ± \d+; planted failed with seed 1, base failed with seed 3", text
    )


def test_a_variant_of_which_nothing_is_left_is_still_on_the_page(tmp_path):
    finish(study(), tmp_path)
    for seed in (0, 1, 2):
        fail(tmp_path, f"planted-seed{seed}")
    write_study_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "- planted: not enough seeds: 0 of at least 3; planted failed with seeds 0, 1, 2" in text


def test_an_undeclared_setting_is_marked_in_the_diff_and_named_as_a_confound(tmp_path):
    definition = study(variants={"planted": ("effect=0.3",)})
    settings = definition.settings("planted", 0).model_dump(mode="json") | {"noise": 0.5}
    finish(definition, tmp_path, planted_seed0={"settings": settings})
    write_study_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| planted | noise | 0.02 | 0.5 | not declared |" in text
    assert "| planted | effect | 0.0 | 0.3 | declared |" in text
    assert "> planted differs from the base in more than it declares: noise." in text


def test_what_the_user_wrote_does_not_become_markup(tmp_path):
    finish(study(question="Is <b>a|b</b> & c better?", variants={"planted": ("effect=0.3",)}), tmp_path)
    write_study_report(tmp_path)
    assert "Is &lt;b&gt;a|b&lt;/b&gt; &amp; c better?" in (tmp_path / "report.html").read_text()
    assert "<b>a|b" not in (tmp_path / "report.md").read_text()


def test_all_verdicts_together_have_the_stated_confidence(tmp_path):
    """Of two effects, one sure and one that only alone would pass, the second is within noise."""
    sure, alone = {"planted": ("effect=0.3",)}, {"slight": ("effect=0.022",)}
    finish(study(variants=alone, seeds=range(5)), tmp_path / "alone")
    finish(study(variants=alone | {"nothing": ("head.width=5",)} | sure, seeds=range(5)), tmp_path / "all")
    found = {
        folder: {line.runs.name: line.judgement for line in judged(read_study(tmp_path / folder))[0][1:]}
        for folder in ("alone", "all")
    }
    assert found["alone"]["slight"].word == "better"
    assert found["all"]["planted"].word == "better"
    assert found["all"]["slight"].word == "within noise"
    one, many = found["alone"]["slight"].effect, found["all"]["slight"].effect
    assert many.mean == one.mean
    assert many.low < 0.0 < one.low
    write_study_report(tmp_path / "all")
    assert "The 3 verdicts share that confidence (Holm)" in (tmp_path / "all" / "report.md").read_text()


def test_the_noise_floor_and_the_seeds_that_the_smallest_change_takes_are_said(folder):
    text = (folder / "report.md").read_text()
    apart = noise_floor(read_study(folder).base.scores.mean(1))
    assert f"differ in the seed alone differ by {percent(apart)}" in text
    assert "| Seeds to see 2 % |" in text
    lines = {line.runs.name: line.seeds_needed for line in judged(read_study(folder))[0]}
    assert lines["base"] is None
    assert lines["nothing"] >= 3


def test_a_rung_of_the_base_is_judged_against_the_one_that_it_has_to_beat(tmp_path):
    finish(study(pays={"operator": "persistence"}, seeds=range(5)), tmp_path)
    write_study_report(tmp_path)
    page, text = str(Text((tmp_path / "report.html").read_text())), (tmp_path / "report.md").read_text()
    (line,) = judged(read_study(tmp_path))[2]
    share = 1 - read_study(tmp_path).base.scores.mean() / 2.0
    assert line.judgement.effect.mean == pytest.approx(share)
    assert f"- operator against persistence: {line.judgement.text}" in text
    assert "What pays in the base" in page
    assert "The 3 verdicts share" in text


def test_a_report_of_an_unfinished_study_is_refused(tmp_path):
    with pytest.raises(UserError, match="not the folder of a study"):
        write_study_report(tmp_path)


def test_a_change_is_written_with_its_sign():
    assert [signed(value) for value in (0.123, -0.0123, 0.0)] == ["+12 %", f"{MINUS}1.2 %", "0.00 %"]
    known = Judgement("within noise", "within noise", Interval(0.01, -0.02, 0.04))
    assert answer(known) == f"within noise (+1.0 %, [{MINUS}2.0 %, +4.0 %])"
    unknown = Judgement("no verdict", "no verdict: why", Interval(*[float("nan")] * 3))
    assert answer(unknown) == "no verdict: why"


def test_the_base_is_not_judged(folder):
    read = read_study(folder)
    line = judged(read)[0][0]
    assert (line.judgement, line.diff, line.confounds) == (None, [], [])
    assert line.error.low < line.error.mean < line.error.high
    assert read.base_settings == Toy().model_dump(mode="json")


ALL_SHOWN = [f"t{place}" for place in range(8)]


def page_of(definition, folder, **at):
    finish(definition, folder, **at)
    write_study_report(folder)
    return (folder / "report.md").read_text()


def everywhere(variant, **different):
    return {f"{variant}_seed{seed}": different for seed in (0, 1, 2)}


def test_trajectories_are_paired_by_what_they_are_not_by_their_place(tmp_path):
    one = study(variants={"planted": ("effect=0.3",)})
    plain = page_of(one, tmp_path / "plain")
    shuffled = everywhere("base", tested=ALL_SHOWN) | everywhere("planted", tested=ALL_SHOWN[::-1])
    assert answer_of(page_of(one, tmp_path / "shuffled", **shuffled)) == answer_of(plain)


def test_only_trajectories_that_all_runs_were_shown_count_and_the_page_says_how_many(tmp_path):
    one = study(variants={"planted": ("effect=0.3",)})
    some = everywhere("base", tested=ALL_SHOWN) | everywhere("planted", tested=ALL_SHOWN[5:])
    text = page_of(one, tmp_path, **some)
    assert "planted: better by" in text
    assert "compared on the 3 test trajectories that both were shown, of up to 8" in text


def test_runs_that_share_no_trajectory_have_no_verdict(tmp_path):
    one = study(variants={"planted": ("effect=0.3",)})
    apart = everywhere("base", tested=ALL_SHOWN[:4]) | everywhere("planted", tested=ALL_SHOWN[4:])
    assert "planted: no verdict: the variant was tested on other trajectories" in page_of(
        one, tmp_path, **apart
    )


def test_a_seed_of_the_base_that_was_shown_others_is_not_paired_by_place_either(tmp_path):
    one = study(variants={"planted": ("effect=0.3",)})
    apart = everywhere("base", tested=ALL_SHOWN[:4]) | everywhere("planted", tested=ALL_SHOWN[:4])
    apart["base_seed1"] = {"tested": ALL_SHOWN[4:]}
    assert "planted: no verdict" in page_of(one, tmp_path, **apart)


CONFOUNDS = {
    "a setting that nobody declared": ({"settings": {"effect": 0.3, "noise": 0.5, "seed": 1}}, "noise"),
    "other data": ({"data": records.data(digest="d2")}, "data.digest"),
    "another version": ({"versions": {"torch": "2.7"}}, "versions.torch"),
}


@pytest.mark.parametrize("case", CONFOUNDS)
def test_a_confound_withholds_the_verdict(tmp_path, case):
    different, name = CONFOUNDS[case]
    text = page_of(study(variants={"planted": ("effect=0.3",)}), tmp_path, planted_seed1=different)
    assert f"planted: no verdict: confounded by {name}" in text


def test_another_machine_withholds_a_verdict_on_costs_alone(tmp_path):
    other = everywhere("planted", machine={"threads": 8})
    one = study(variants={"planted": ("effect=0.3",)})
    assert "planted: better by" in page_of(one, tmp_path / "errors", **other)
    costs = changed(one, "metric.protocol=cost", "metric.metric=training_seconds")
    assert "planted: no verdict: confounded by machine.threads" in page_of(costs, tmp_path / "costs", **other)


def test_seeds_that_are_copies_of_one_run_have_no_verdict(tmp_path):
    one = study(variants={"planted": ("effect=0.3",)})
    finish(one, tmp_path)
    shutil.copy(tmp_path / "planted-seed0" / "rows.parquet", tmp_path / "planted-seed2" / "rows.parquet")
    record.write(tmp_path / "planted-seed2", record.read(tmp_path / "planted-seed2"))
    write_study_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "no verdict: seeds 0 and 2 of planted have the same numbers" in text


def answer_of(text):
    return next(line for line in text.splitlines() if line.startswith("- planted:"))
