"""Other people's dashboards, off by default; the run folder stays the truth. Each is an optional install."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from ups.config import nearest
from ups.types import UserError

logger = logging.getLogger(__name__)

Kind = Literal["none", "trackio", "tensorboard", "wandb"]


@runtime_checkable
class Tracker(Protocol):
    """Where the rows of the log go as well, one run for each stage."""

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begin the stage `name`."""
        ...

    def log(self, row: Mapping[str, float], update: int) -> None:
        """Add the numbers of one update."""
        ...

    def end(self) -> None:
        """Finish the stage."""
        ...


class Runs:
    """trackio or wandb, which share one interface: init, log, finish."""

    def __init__(self, package: Any, project: str, run: str) -> None:
        self.package = package
        self.project = project
        self.run = run

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begin the run `<run>-<stage>` of the project, grouped by run."""
        run = f"{self.run}-{name}"
        self.package.init(project=self.project, name=run, group=self.run, config=dict(settings))

    def log(self, row: Mapping[str, float], update: int) -> None:
        """Log the numbers at step `update`."""
        self.package.log(dict(row), step=update)

    def end(self) -> None:
        """Finish the run."""
        self.package.finish()


class TensorBoard:
    """Event files in `<folder>/<stage>`."""

    def __init__(self, package: Any, folder: Path) -> None:
        self.package = package
        self.folder = folder

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Open the event file of a stage and write the settings as text."""
        self.writer = self.package.SummaryWriter(str(self.folder / name))
        self.writer.add_text("settings", "\n".join(f"    {key}: {value}" for key, value in settings.items()))

    def log(self, row: Mapping[str, float], update: int) -> None:
        """Write each number as a scalar."""
        for key, value in row.items():
            self.writer.add_scalar(key, value, update)

    def end(self) -> None:
        """Close the event file."""
        self.writer.close()


class Guarded:
    """A tracker that cannot harm the run: when it fails, it warns once and is left alone from then on."""

    def __init__(self, tracker: Tracker | None) -> None:
        self.tracker = tracker

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begin a stage."""
        self._try(lambda tracker: tracker.start(name, settings))

    def log(self, row: Mapping[str, float], update: int) -> None:
        """Log the numbers that are finite."""
        finite = {key: value for key, value in row.items() if math.isfinite(value)}
        self._try(lambda tracker: tracker.log(finite, update))

    def end(self) -> None:
        """Finish the stage."""
        self._try(lambda tracker: tracker.end())

    def _try(self, call: Callable[[Tracker], None]) -> None:
        if self.tracker is None:
            return
        try:
            call(self.tracker)
        except Exception as error:
            logger.warning("the tracker failed and is off for the rest of this stage: %s", error)
            self.tracker = None


def open_tracker(kind: str, project: str, folder: Path) -> Tracker | None:
    """Return the tracker of a run folder, or None for "none"; its runs carry the folder's name.

    Raises:
        UserError: there is no such tracker, or its package is not installed.
    """
    if kind not in get_args(Kind):
        raise UserError(f"tracker '{kind}': no such tracker{nearest(kind, get_args(Kind))}")
    if kind == "none":
        return None
    try:
        package = importlib.import_module("torch.utils.tensorboard" if kind == "tensorboard" else kind)
    except ImportError:
        raise UserError(
            f"tracker '{kind}' is not installed: pip install 'universal-physics-stack[{kind}]'"
        ) from None
    if kind == "tensorboard":
        return TensorBoard(package, folder / "tensorboard")
    return Runs(package, project, folder.resolve().name)
