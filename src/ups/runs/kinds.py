"""The kinds of runs, and what carries each of them out; a new kind is added here, and commands and studies know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ups import record
from ups.images import bench
from ups.runs import pipeline
from ups.config import Settings, validate
from ups.images.bench import ImageRun
from ups.runs.pipeline import Run
from ups.types import UserError

AnyRun = Run | ImageRun
KINDS: tuple[type[Settings], ...] = (Run, ImageRun)


def run(settings: AnyRun, folder: Path, tracker: str = "none") -> None:
    """Train, measure and report, by the kind of the settings. Run again to resume."""
    if isinstance(settings, ImageRun):
        bench.run_images(settings, folder, tracker)
    else:
        pipeline.run(settings, folder, tracker)


def read_settings(folder: Path) -> tuple[AnyRun, dict[str, Any]]:
    """Return the settings and the record of a finished run, of whichever kind.

    Raises:
        UserError: there is no run in the folder, it is not finished, or its settings are not those of a run.
    """
    made = record.read(folder)
    if "finished" not in made:
        raise UserError(f"{folder}: the run is not finished; `ups run` with the same settings finishes it")
    kind = ImageRun if made.get("bench") == "images" else Run
    return validate(kind, made["settings"]), made
