import base64
import hashlib
import re
import shutil
import threading
import urllib.error
import urllib.request
from html.parser import HTMLParser

import pytest

from ups.studies.board import collect
from ups.studies.board_page import serve_page, shell, write_board
from ups.types import UserError

HOSTILE = "<script>alert(1)<"


class Page(HTMLParser):
    """The links and the boxes of a page, and the tags that it has."""

    def __init__(self, text):
        super().__init__()
        self.links, self.boxes, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if tag == "a":
            self.links.append(attrs["href"])
        if attrs.get("name") == "pick":
            self.boxes.append(attrs["value"])


@pytest.fixture
def page(tmp_path, tiny_run):
    for name in ("one", HOSTILE):
        shutil.copytree(tiny_run, tmp_path / "runs" / name)
    return write_board(collect([tmp_path / "runs"]), tmp_path / "board")


def test_the_page_needs_nothing_but_itself_and_every_name_is_text(page):
    text = page.read_text()
    found = Page(text)
    assert found.tags.count("script") == 1
    assert "&lt;script&gt;alert(1)&lt;" in text
    assert not re.search(r"https?://", text)
    assert not [link for link in found.links if not link.startswith("../runs/")]
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text  # no other script runs
    assert "<script>" not in (page.parent / "report.md").read_text()


def test_links_lead_to_the_reports_and_boxes_name_runs_as_a_shell_takes_them(page):
    found = Page(page.read_text())
    for link in found.links:
        assert (page.parent / urllib.request.url2pathname(link)).exists()
    runs = page.parents[1] / "runs"
    assert set(found.boxes) == {shell(runs / "one"), shell(runs / HOSTILE)}
    assert shell(runs / HOSTILE) == f"'{runs / HOSTILE}'"


def test_a_page_is_written_over_the_one_before_and_into_no_run(page, tmp_path):
    shutil.rmtree(tmp_path / "runs" / HOSTILE)
    again = write_board(collect([tmp_path / "runs"]), tmp_path / "board")
    assert "alert" not in again.read_text()
    with pytest.raises(UserError):
        write_board(collect([tmp_path / "runs"]), tmp_path / "runs" / "one" / "board")


def test_reports_alone_are_served_to_this_machine_alone(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    ready, address = threading.Event(), []
    told = [address.append, lambda _: ready.set()]
    threading.Thread(
        target=serve_page, args=(page, lambda text: [each(text) for each in told]), daemon=True
    ).start()
    assert ready.wait(10)
    assert address[0].startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address[0], timeout=10) as answer:
        assert answer.read() == page.read_bytes()
    root = address[0].removesuffix("/board/report.html")
    with urllib.request.urlopen(f"{root}/runs/one/report.html", timeout=10) as answer:
        assert answer.status == 200
    for path in ("secret.txt", "", "runs/one/run.json", "../report.html", "%2e%2e/%2e%2e/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{root}/{path}", timeout=10)
