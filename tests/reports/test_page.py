import pytest
from jinja2 import DictLoader

from ups.reports import page
from ups.reports.page import escape_markdown, flatten, write_page


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


@pytest.fixture
def written(tmp_path, monkeypatch):
    """What two small templates make of a hostile name."""
    loader = DictLoader({
        "toy.html.jinja": "<p>{{ name | twice }}</p>",
        "toy.md.jinja": "# {{ name | twice }}",
    })
    monkeypatch.setattr(page, "PackageLoader", lambda *place: loader)
    write_page(tmp_path, "toy", {"name": "<b>|"}, {"twice": lambda text: 2 * text})
    return tmp_path


def test_both_forms_are_written_and_no_content_becomes_markup(written):
    assert (written / "report.html").read_text() == "<p>&lt;b&gt;|&lt;b&gt;|</p>"
    assert (written / "report.md").read_text() == "# &lt;b&gt;\\|&lt;b&gt;\\|"
    assert sorted(path.name for path in written.iterdir()) == ["report.html", "report.md"]
