"""A study: one question, a base run, variants of it, paired seeds, and the rule that decides, all written down first.

Every cell (variant and seed) is a run in a folder of its own. Cells run one after another; a finished one is not run
again, so a study that was interrupted goes on where it stopped. One that fails is written down, with its reason, and
the others go on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, field_validator, model_validator

from ups import record
from ups.config import Settings, digest, nearest, override
from ups.evaluation.metrics import MORE_IS_BETTER
from ups.evaluation.rows import query
from ups.files import FAILED, require_home, sealed, unsealed, written_whole
from ups.progress import Progress
from ups.studies.confounds import differences
from ups.training.fit import DivergenceError
from ups.types import UserError

R = TypeVar("R", bound=Settings)

BASE = "base"
NAME = "study.json"


class PrimaryMetric(Settings):
    """The one number per test trajectory that decides, as it stands in the rows of every cell."""

    protocol: str = "pdebench"
    """The protocol under which the stepper is questioned."""
    stepper: str = "operator"
    """The rung that the variants change."""
    metric: str = "nrmse"
    """The metric; values per frame and field are averaged for each trajectory."""
    smaller_is_better: bool = True
    """Whether the metric is an error."""

    @model_validator(mode="after")
    def _the_direction_is_that_of_the_metric(self) -> PrimaryMetric:
        if self.metric in MORE_IS_BETTER and self.smaller_is_better:
            raise ValueError(f"more {self.metric} is better: set smaller_is_better=false")
        return self


class Decision(Settings):
    """When a variant is called better or worse; see `ups.studies.verdicts.judge`."""

    minimal_percent: NonNegativeFloat = 0.0
    """The smallest relative change of the metric that matters, in per cent."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """The confidence of the interval that must exclude no change."""


class Design(Settings):
    """What a study asks and how it decides: all but the settings that it starts from."""

    question: str
    """What the study is to answer, in one sentence."""
    variants: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    """The variants by name, each as the assignments `key.path=value` that make it from the base."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1, 2)
    """Every variant is run with each of them; runs of equal seed are compared. Fewer than three give no verdict."""
    metric: PrimaryMetric = PrimaryMetric()
    """What decides."""
    decision: Decision = Decision()
    """How it decides."""

    @field_validator("seeds")
    @classmethod
    def _ascending(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands here twice")
        return tuple(sorted(seeds))

    @field_validator("variants")
    @classmethod
    def _names_are_folders(cls, variants: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in variants:
            if name == BASE or not re.fullmatch(r"\w+", name):
                raise ValueError(
                    f"'{name}' cannot name a variant: use letters, digits and _, and not '{BASE}'"
                )
        return variants

    @property
    def assignments(self) -> dict[str, tuple[str, ...]]:
        """The assignments of the base (none) and of every variant."""
        return {BASE: (), **self.variants}


class Study(Design, Generic[R]):
    """A design with the settings that it starts from; write `Study[Run](...)`, so that these can be checked."""

    base: R
    """The settings that every variant starts from."""

    @model_validator(mode="after")
    def _every_variant_can_be_made(self) -> Study[R]:
        if not isinstance(type(self).model_fields["base"].annotation, type):
            raise UserError("a study is written Study[Run](...), with the type of its base in brackets")
        for name in self.variants:
            if self.settings(name, self.seeds[0]) == self.settings(BASE, self.seeds[0]):
                raise ValueError(f"variant '{name}' is the base itself")
            if any(assignment.startswith("seed=") for assignment in self.variants[name]):
                raise ValueError(f"variant '{name}' sets the seed; 'seeds' does")
        return self

    def settings(self, variant: str, seed: int) -> R:
        """Return the settings of one cell.

        Raises:
            UserError: the variant assigns what is no setting.
        """
        return override(self.base, (*self.assignments[variant], f"seed={seed}"))


class Cell(NamedTuple):
    """One run of a study."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the run's folder inside that of the study."""
        return f"{self.variant}-seed{self.seed}"


def cells(design: Design) -> Iterator[Cell]:
    """Yield the cells in the order in which they run: all variants of a seed, then the next seed."""
    for seed in design.seeds:
        for variant in design.assignments:
            yield Cell(variant, seed)


def carry_out(study: Study[R], folder: Path, run_cell: Callable[[R, Path], None], progress: Progress) -> None:
    """Write the definition down, then run every cell that is not finished.

    `run_cell` trains and measures one run, resumes what it left unfinished in that folder, and writes `run.json`
    (with "settings", and "finished" at the end) and `rows.parquet`. `progress` hears of each cell before it runs, and
    of its failure. A cell that failed is tried again when the study is.

    Raises:
        UserError: the folder holds another study, the very first run is refused before it begins, or the first that
            ends has no rows of the primary metric.
    """
    begin(study, folder)
    ended = False
    for number, cell in enumerate(cells(study)):
        share, home = number / len(study.seeds) / len(study.assignments), folder / cell.name
        settings = study.settings(*cell)
        if is_finished(home, settings):
            progress(share, f"{cell.name}, finished before")
        else:
            progress(share, cell.name)
            if reason := attempt(run_cell, settings, home):
                if not any(folder.glob("*/run.json")):
                    withdraw(folder)
                    raise UserError(reason)
                progress(share, f"{cell.name} failed: {reason}")
                continue
        if not ended:
            require_metric(home, study.metric)
        ended = True


def attempt(run_cell: Callable[[R, Path], None], settings: R, folder: Path) -> str:
    """Run one cell, and return why it failed; "" if it did not.

    A training that diverges and settings that do not fit together fail a cell, and its folder keeps the reason. All
    else, an interruption above all, ends the study.
    """
    note = folder / FAILED
    note.unlink(missing_ok=True)
    try:
        run_cell(settings, folder)
    except (UserError, DivergenceError) as error:
        with written_whole(note) as temporary:
            temporary.write_text(json.dumps({"reason": str(error), "failed": _now()}, indent=2))
        return str(error)
    return ""


def withdraw(folder: Path) -> None:
    """Remove a study of which no run has begun: its base is at fault, and may be changed."""
    for path in (*folder.glob(f"*/{FAILED}"), folder / NAME):
        path.unlink()
    for path in (*folder.glob("*-seed*"), folder):
        if not any(path.iterdir()):
            path.rmdir()


def begin(study: Study, folder: Path) -> None:
    """Write `study.json`: question, variants, seeds, metric, rule and the base's settings.

    Raises:
        UserError: the folder holds a study of another definition (the message says what differs), or cannot be
            written.
    """
    require_home(folder, (NAME,))
    definition = study.model_dump(mode="json")
    if (folder / NAME).exists():
        different = differences(read_definition(folder), definition)
        if different:
            said = ", ".join(
                f"{path}: {json.dumps(old)} -> {json.dumps(new)}" for path, old, new in different
            )
            raise UserError(f"{folder}: holds a study with another definition ({said}); choose another --out")
        return
    record = {
        "digest": digest(study),
        "started": _now(),
        "definition": definition,
    }
    try:
        with written_whole(folder / NAME) as temporary:
            temporary.write_text(sealed(record))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; choose another --out") from None


def read_definition(folder: Path) -> dict[str, Any]:
    """Return the definition that `begin` wrote.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        content = unsealed((folder / NAME).read_bytes(), folder / NAME)
    except OSError:
        raise UserError(f"{folder}: not the folder of a study (no {NAME})") from None
    if not isinstance(definition := content.get("definition"), dict):
        raise UserError(f"{folder / NAME}: damaged, not the definition of a study")
    return definition


def is_finished(folder: Path, settings: Settings) -> bool:
    """Return whether a folder holds the finished run of these settings."""
    try:
        found = record.read(folder)
    except UserError:
        return False  # the run itself says what is wrong with its folder
    return bool(found.finished) and digest(found.settings) == digest(settings)


def failure(folder: Path) -> str:
    """Return why the run of a cell failed; "" if it did not."""
    try:
        return str(json.loads((folder / FAILED).read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def require_metric(folder: Path, metric: PrimaryMetric) -> None:
    """See that a run has rows of the metric, so that a misspelt name costs one cell, not the study.

    Raises:
        UserError: it has none; the message names the nearest that it has.
    """
    found = query(folder / "rows.parquet", "select distinct protocol, stepper, metric from rows")
    names = {" / ".join(names) for names in zip(*found.values(), strict=True)}
    wanted = f"{metric.protocol} / {metric.stepper} / {metric.metric}"
    if wanted not in names:
        raise UserError(f"{folder}: no rows of {wanted}{nearest(wanted, names)}; see 'metric' of the study")


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
