import re
import shutil
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest
from PIL import Image

from records import fitted, physics, rewrite
from ups.reports.ensemble_table import ensemble_table
from ups.reports.ladder_table import ladder_table
from ups.reports.report import interval_bars, metric_lines, write_report
from ups.reports.run_folder import read_run
from ups.reports.wording import number
from ups.types import UserError

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order; keeps what may load something, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads, self.cells, self.anchors = [], set(), [], [[]], set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        self.loads += [
            attributes[name]
            for name in ("src", "href", "xlink:href", "srcset", "data")
            if attributes.get(name)
        ]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data


@pytest.fixture(scope="module")
def reported(run_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported") / "run"
    shutil.copytree(run_dir, folder)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(reported):
    return Page((reported / "report.html").read_text())


@pytest.fixture(scope="module")
def uncertain(ensemble_dir, tmp_path_factory):
    """The report of a run with ensembles, guards and a stage that overfitted."""
    folder = tmp_path_factory.mktemp("uncertain") / "run"
    shutil.copytree(ensemble_dir, folder)
    stages = {"corrector": fitted(updates=70, stopped_early=True, finding="held-out loss <rises>")}
    guards = {
        "corrector": ["mean skill 0.711", "structure learned 0.620"],
        "student": ["as wide as its teacher"],
    }
    rewrite(folder, stages=stages, guards=guards)
    write_report(folder)
    return folder


def test_the_page_is_one_well_formed_file_that_loads_nothing(reported, page):
    text = (reported / "report.html").read_text()
    assert len(text) < 3e6
    assert page.loads
    assert all(target.startswith(("#", "data:image/png")) for target in page.loads)
    assert all(target[1:] in page.anchors for target in page.loads if target.startswith("#"))
    assert not re.search(r"url\((?!#)|@import", text)
    assert not {"script", "link", "iframe", "object"} & page.tags
    assert "prefers-color-scheme: dark" in text
    assert text.count("<svg") == 7


def test_the_table_holds_the_numbers_of_the_rows(reported, page):
    rows = {
        row[0].strip(): [" ".join(cell.split()) for cell in row[1:]]
        for row in reversed(page.cells)
        if len(row) == 10
    }
    run = read_run(reported)
    for name in ("persistence", "FNO (tuned)", "operator", "autoencoder"):
        mean = run.curves("pdebench", "nrmse")[name].value.mean(1).mean()
        assert rows[name][0].startswith(number(mean))
    assert rows["+ corrector"][2] == "within noiseoperator"
    assert rows["+ student"][2].startswith("harms ")
    assert rows["operator"][2].startswith("buys 8")
    assert rows["operator"][2].endswith("FNO (tuned)")
    assert rows["operator"][5:7] == ["179 k", "10 min 0 s"]


def test_protocols_have_tables_of_their_own(page):
    heads = [" ".join(row[1].split()) for row in page.cells if row and row[0] == "Rung"]
    assert [head.split(",")[1].strip() for head in heads] == ["nRMSE", "relative L2", "nRMSE"]
    assert any("needs 10 context frames" in cell for row in page.cells for cell in row)


def test_figures_are_pictures_of_something(reported):
    paths = list((reported / "figures").glob("*.png"))
    assert len(paths) == 7
    for path in paths:
        image = np.array(Image.open(path).convert("L"))
        assert image.shape[0] > 300
        assert image.shape[1] == 1440
        assert 0.01 < (image < 200).mean() < 0.9


@pytest.mark.parametrize(("run", "num_figures"), [("reported", 7), ("uncertain", 12)])
def test_links_of_the_markdown_resolve_and_its_tables_are_square(run, num_figures, request):
    folder = request.getfixturevalue(run)
    text = (folder / "report.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == num_figures
    assert all((folder / link).exists() for link in links)
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            assert table[1].startswith("|---")
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1
            table = []


def test_the_markdown_has_the_headline_and_names_a_failed_stage(reported):
    text = (reported / "report.md").read_text()
    assert "**Our best rung, operator, has an error of" in text
    assert "failed" in text
    assert "Uncertainty" not in text
    assert "Guards" not in text


def test_ensembles_have_a_section_and_their_mean_a_column(uncertain):
    text = (uncertain / "report.html").read_text()
    page = Page(text)
    assert all(target[1:] in page.anchors for target in page.loads if target.startswith("#"))
    assert {"uncertainty", "guards"} <= page.anchors
    lines = [[" ".join(cell.split()) for cell in row] for row in page.cells if row]
    heads = [line for line in lines if line[0] == "Rung" and len(line) == 10]
    assert [head[3] for head in heads] == [
        "nRMSE of the mean",
        "relative L2 of the mean",
        "nRMSE of the mean",
        "nRMSE of the mean",
    ]
    ladder = next(line for line in lines if line[0] == "corrector6 members" and len(line) == 11)
    assert ladder[3].startswith("buys")
    assert ladder[3].endswith("operator")
    assert re.match(r"0\.\d+(buys|harms|within noise)", ladder[4])
    scores = next(line for line in lines if line[0] == "corrector6 members" and len(line) == 6)
    assert re.fullmatch(r"0\.\d+\[.*\]\W 1\.\d+ \[.*\]", scores[1])
    assert "student: fair CRPS within noise of the perfect ensemble&#39;s" in text
    assert "Rung “perfect" not in text
    assert "The rung “perfect ensemble” draws from the law that made the data" in text


def test_both_forms_hold_the_same_judgment_of_ensembles(uncertain):
    text, markdown = (uncertain / "report.html").read_text(), (uncertain / "report.md").read_text()
    text, markdown = text.replace("&lt;", "<"), markdown.replace("&lt;", "<")
    run = read_run(uncertain)
    found = ensemble_table(run, ladder_table(run, run.questions[0]))
    for block in found.blocks:
        assert f"### {block.title}" in markdown
        assert f"<h3>{block.title}</h3>" in text
        for cell in (cell for line in block.lines for cell in line.cells):
            assert " ".join("; ".join((cell.text, *cell.details)).split()) in markdown
            assert all(detail in text for detail in cell.details)
    assert all(f"- {' '.join(verdict.split())}\n" in markdown for verdict in found.verdicts)


def test_guards_and_overfitting_are_printed_where_they_were_found(uncertain):
    text, markdown = (uncertain / "report.html").read_text(), (uncertain / "report.md").read_text()
    assert "<li>structure learned 0.620</li>" in text
    assert "- corrector: structure learned 0.620" in markdown
    assert "- student: as wide as its teacher" in markdown
    assert "<p>corrector: held-out loss &lt;rises&gt;</p>" in text
    assert "corrector: held-out loss &lt;rises&gt;" in markdown
    assert "<li>Training of corrector: held-out loss &lt;rises&gt;.</li>" in text
    assert "- Training of corrector: held-out loss &lt;rises&gt;." in markdown
    assert "70<small>stopped early</small>" in text
    assert "70, stopped early" in markdown


def test_figures_show_the_reference_beside_the_competitors_and_the_mean_of_an_ensemble(uncertain):
    text = (uncertain / "report.html").read_text()
    figures = (part.partition("</figure>")[0] for part in text.split('<figure id="')[1:])
    plates = {figure.partition('"')[0]: figure for figure in figures}
    assert "perfect ensemble" in plates["accuracy_cost"]
    assert "codec ceiling" not in plates["accuracy_cost"]
    assert "the reference left out." in plates["accuracy_cost"]
    assert "Of an ensemble its mean is shown." in plates["space_time_0"]
    assert "perfect ensemble" in plates["error_pdebench"]
    assert {"rank_histograms", "spread_time", "fans_0", "samples_0", "spread_spectra_0"} <= set(plates)


def test_spread_has_no_best_rung(ensemble_dir):
    run = read_run(ensemble_dir)
    lines = {line.metric: line for line in metric_lines(run, ladder_table(run, run.questions[0]))}
    assert lines["spread"].best is None
    assert lines["squared_error"].best is not None
    assert next(iter(lines)) == "fair_crps"


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a|b](http://x) *c* `d` $e_1$", '"><img src=http://x>']
)
def test_a_hostile_name_is_only_text(make_run, name):
    errors = 0.1 + np.random.default_rng(0).random((6, 4))
    folder = make_run(
        {"persistence": errors, name: 0.1 * errors}, ["trivial", "ours"], notes=[name], settings={"x": name}
    )
    write_report(folder)
    page = Page((folder / "report.html").read_text())
    assert not {"script", "img"} & page.tags
    assert not [target for target in page.loads if "http" in target]
    assert any(name in cell for row in page.cells for cell in row)
    markdown = (folder / "report.md").read_text()
    assert "<script" not in markdown
    assert "](http" not in markdown


def test_an_empty_record_still_gives_a_report(make_run):
    folder = make_run({"a": np.full((3, 2), 0.5), "b": np.full((3, 2), 0.25)}, ["ours", "ours"])
    (folder / "run.json").write_text(physics().model_dump_json())
    write_report(folder)
    Page((folder / "report.html").read_text())
    assert "the lowest error is that of b" in (folder / "report.md").read_text()


def test_rows_without_scores_are_the_users_error(run_dir, tmp_path):
    (tmp_path / "run.json").write_text(physics().model_dump_json())
    costs = duckdb.sql(f"select * from '{run_dir / 'rows.parquet'}' where protocol = 'cost'")
    costs.write_parquet(str(tmp_path / "rows.parquet"))
    with pytest.raises(UserError, match="no scores"):
        write_report(tmp_path)


def test_bars_keep_the_order_of_the_errors_inside_the_cell(run_dir):
    run = read_run(run_dir)
    table = ladder_table(run, run.questions[0])
    bars = interval_bars(table)
    by_error = sorted(bars, key=lambda name: table.row(name).error.mean)
    assert by_error == sorted(bars, key=lambda name: bars[name].mean)
    assert all(0 <= bar.low <= bar.mean <= bar.high <= 100 for bar in bars.values())


def test_a_reference_far_below_does_not_squeeze_the_scale(make_run):
    errors = {"a": np.full((3, 2), 0.5), "b": np.full((3, 2), 0.25), "codec": np.full((3, 2), 1e-8)}
    run = read_run(make_run(errors, ["baseline", "ours", "reference"]))
    bars = interval_bars(ladder_table(run, run.questions[0]))
    assert bars["codec"].mean == 0
    assert bars["a"].mean - bars["b"].mean > 50


def test_the_best_rung_of_each_metric_follows_its_direction(make_run, run_dir):
    run = read_run(run_dir)
    lines = {line.metric: line for line in metric_lines(run, ladder_table(run, run.questions[0]))}
    assert next(iter(lines)) == "nrmse"
    assert lines["nrmse"].best is None  # the operator and its idle corrector are equal
    assert lines["correlation"].more_is_better
    scores = run.scores("pdebench", "relative_l2")["FNO"][0]
    mean, error = lines["relative_l2"].values["FNO"]
    assert mean == pytest.approx(scores.mean())
    assert error == pytest.approx(scores.std(ddof=1) / 10)
    other = read_run(make_run({"a": np.full((3, 2), 0.5), "b": np.full((3, 2), 0.25)}, ["baseline", "ours"]))
    assert metric_lines(other, ladder_table(other, other.questions[0]))[0].best == "b"
