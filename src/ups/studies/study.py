"""A study: a question, a base, variants, paired seeds, and the rule that decides; written down before it begins."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, field_validator, model_validator

from ups.config import Settings, digest, override
from ups.evaluation.metrics import MORE_IS_BETTER
from ups.files import require_home, sealed, unsealed, written_whole
from ups.studies.confounds import differences
from ups.types import UserError

R = TypeVar("R", bound=Settings)

BASE = "base"
NAME = "study.json"


class PrimaryMetric(Settings):
    """The one number per test trajectory that decides, as it stands in the rows of every cell."""

    protocol: str = "pdebench"
    """The protocol under which the stepper is questioned; `*` stands for what differs from machine to machine, such as
    the digest of features that are trained."""
    stepper: str = "operator"
    """The rung that the variants change."""
    metric: str = "nrmse"
    """The metric; values per frame and field are averaged for each trajectory."""
    smaller_is_better: bool = True
    """Whether the metric is an error."""

    def __str__(self) -> str:
        return f"{self.metric} of {self.stepper}, {self.protocol}"

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
    also: tuple[PrimaryMetric, ...] = ()
    """Other metrics that the variants are judged by, each by the same rule and in one family with the first."""
    decision: Decision = Decision()
    """How it decides."""
    pays: dict[str, str] = {}
    """Rungs of the base, each with the rung that it has to beat by the same metric: {corrector: operator}; named as
    their folders in `stages/`, or as in tables."""

    @field_validator("seeds")
    @classmethod
    def _ascending(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands here twice")
        return tuple(sorted(seeds))

    @model_validator(mode="after")
    def _every_metric_is_another(self) -> Design:
        if len({self.metric, *self.also}) < 1 + len(self.also):
            raise ValueError("a metric stands here twice")
        return self

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
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
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
