import json
import re
import shutil
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest
from PIL import Image

from ups.studies.ladder_table import ladder_table
from ups.studies.report import escape_markdown, flatten, interval_bars, metric_lines, write_report
from ups.studies.run_folder import read_run
from ups.studies.wording import number
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
        if len(row) == 9
    }
    run = read_run(reported)
    for name in ("persistence", "FNO (tuned)", "operator", "autoencoder"):
        mean = run.curves("pdebench", "nrmse")[name].value.mean(1).mean()
        assert rows[name][0].startswith(number(mean))
    assert rows["+ corrector"][2] == "within noiseoperator"
    assert rows["+ student"][2].startswith("harms ")
    assert rows["operator"][2].startswith("buys 8")
    assert rows["operator"][2].endswith("FNO (tuned)")
    assert rows["operator"][4:6] == ["179 k", "10 min 0 s"]


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


def test_links_of_the_markdown_resolve_and_its_tables_are_square(reported):
    text = (reported / "report.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 7
    assert all((reported / link).exists() for link in links)
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            assert table[1].startswith("|---")
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1
            table = []
    assert "**Our best rung, operator, has an error of" in text
    assert "failed" in text


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
    folder = make_run({"a": np.full((3, 2), 0.5), "b": np.full((3, 2), 0.25)}, ["", ""])
    (folder / "run.json").write_text("{}")
    write_report(folder)
    Page((folder / "report.html").read_text())
    assert "the lowest error is that of b" in (folder / "report.md").read_text()


def test_rows_without_scores_are_the_users_error(run_dir, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({}))
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


def test_a_ceiling_far_below_does_not_squeeze_the_scale(make_run):
    errors = {"a": np.full((3, 2), 0.5), "b": np.full((3, 2), 0.25), "codec": np.full((3, 2), 1e-8)}
    run = read_run(make_run(errors, ["peer", "ours", "ceiling"]))
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
    other = read_run(make_run({"a": np.full((3, 2), 0.5), "b": np.full((3, 2), 0.25)}, ["peer", "ours"]))
    assert metric_lines(other, ladder_table(other, other.questions[0]))[0].best == "b"


def test_settings_are_written_as_overrides():
    tree = {"data": {"kind": "x", "stride": 5}, "windows": [2, 4], "none": None, "empty": {}}
    assert list(flatten(tree)) == [
        ("data.kind", "x"),
        ("data.stride", "5"),
        ("windows", "[2, 4]"),
        ("none", "null"),
        ("empty", "{}"),
    ]


def test_markdown_is_escaped_on_one_line():
    assert escape_markdown("a|b\nc <d> `e`") == "a\\|b c &lt;d&gt; \\`e\\`"
