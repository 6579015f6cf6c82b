"""The page of `ups board`: report.html, which needs nothing but itself, and report.md."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ups.files import require_outside
from ups.reports.page import write_page
from ups.studies.board import Board


def write_board(board: Board, folder: Path) -> Path:
    """Write the page into a folder, over the one before, and return it.

    Raises:
        UserError: the folder lies in that of a run or a study, or cannot be written to.
    """
    require_outside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    script = files("ups.reports").joinpath("templates/board.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = {"name": "board", "board": board, "script": script, "script_hash": f"sha256-{digest}"}
    write_page(folder, "board", content, {"link": partial(link, folder), "shell": shell})
    return folder / "report.html"


def link(folder: Path, home: Path) -> str:
    """Return the address of the report of a run or a study, as seen from the page."""
    return quote(os.path.relpath(home / "report.html", folder))


def shell(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def serve_page(page: Path, ready: Callable[[str], Any]) -> None:
    """Show a page, and the reports below the working folder that it leads to, to this machine alone, until Ctrl-C.

    Nothing else is shown: a report is one file of a known name.

    `ready` is told the address.
    """
    root = Path(os.path.commonpath([Path.cwd(), page.resolve()]))
    handler = partial(_Reports, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        ready(f"http://127.0.0.1:{server.server_port}/{quote(str(page.resolve().relative_to(root)))}")
        server.serve_forever()


class _Reports(SimpleHTTPRequestHandler):
    def send_head(self) -> Any:
        """Answer for reports alone."""
        if not self.path.partition("?")[0].endswith("/report.html"):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""
