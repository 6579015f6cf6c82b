"""Progress of anything that takes more than a second: a bar with the time left, or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

Progress = Callable[[float, str], None]
"""Called with the fraction done, in [0, 1], and a short text for people (loss, speed); may be called often."""

LINE_EVERY_SECONDS = 30.0


@contextmanager
def bar(label: str) -> Generator[Progress]:
    """Show the progress of one piece of work on standard error.

    A terminal gets a bar with the estimated time left; a log file gets a line every half a minute and one at the
    end. Give the yielded function to whatever does the work.
    """
    show = _bar if sys.stderr.isatty() else _lines
    with show(label) as progress:
        yield progress


@contextmanager
def _bar(label: str) -> Generator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Display

    columns = [
        TextColumn("{task.description:28}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    ]
    with Display(*columns, console=Console(stderr=True), refresh_per_second=4) as display:
        task = display.add_task(label, total=1.0, text="")
        yield lambda fraction, text="": display.update(task, completed=fraction, text=text)


@contextmanager
def _lines(label: str) -> Generator[Progress]:
    start = shown = time.monotonic()
    first, latest = None, ""

    def progress(fraction: float, text: str = "") -> None:
        nonlocal shown, first, latest
        latest, now = text, time.monotonic()
        begun, had = first = first or (now, fraction)  # work that is resumed does not begin at nothing
        if now - shown >= LINE_EVERY_SECONDS:
            shown = now
            left = (
                f", {(now - begun) * (1.0 - fraction) / (fraction - had):.0f} s left"
                if fraction > had
                else ""
            )
            sys.stderr.write(f"{label}: {fraction:.0%}{left}  {text}\n")

    yield progress
    sys.stderr.write(f"{label}: done in {time.monotonic() - start:.1f} s  {latest}\n")
