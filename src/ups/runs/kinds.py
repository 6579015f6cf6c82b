"""The kinds of runs, and what carries each of them out; a new kind is added here, and commands and studies know it."""

from __future__ import annotations

from pathlib import Path

from ups.config import Settings
from ups.images import bench
from ups.images.bench import ImageRun
from ups.runs import pipeline
from ups.runs.settings import Run

AnyRun = Run | ImageRun
KINDS: tuple[type[Settings], ...] = (Run, ImageRun)


def run(settings: AnyRun, folder: Path, tracker: str = "none", beside: Path | None = None) -> None:
    """Train, measure and report, by the kind of the settings. Run again to resume; see `pipeline.run` for `beside`."""
    if isinstance(settings, ImageRun):
        bench.run_images(settings, folder, tracker)
    else:
        pipeline.run(settings, folder, tracker, beside)
