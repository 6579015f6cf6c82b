"""`run.json` as one typed, frozen record: what a run was made from, on which machine, and what came of it."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

import ups
from ups.config import Settings, validate
from ups.files import RUN as NAME
from ups.files import file_digest, sealed, unsealed, written_whole
from ups.types import Fields, Trajectory, UserError

KNOWN = "known_initial_conditions.json"
"""In a run folder: what the networks have seen, so that no evaluation uses it."""
SEEN = "known_frames.safetensors"
"""In a run folder: the longest waves of every frame that the networks have seen, to find what is one in disguise."""
TESTED = "test_trajectories.json"
"""In a run folder: the identities of what was scored, in the order of the rows, by which runs are paired."""
KEPT = (KNOWN, SEEN, TESTED, "rows.parquet", "examples.npz", "ensembles.npz", "samples.npz")
PACKAGES = ("torch", "numpy", "h5py", "pydantic", "safetensors", "duckdb")


@dataclass(frozen=True)
class Fitted:
    """What a training cost and brought.

    `skill` is the loss over the trivial predictor's loss, with the kept weights, on training windows of the last
    phase: 0 is perfect, above 1 is a failure. `score` is the best validation, reached after `best_update`; None if
    there was none. `seconds` is wall time, interruptions left out; `cpu_seconds` the work in
    it (`training/clock.py`). `finding` says what the watches found, if they did: overfitting, or a rollout that is lost
    while the loss falls.
    """

    updates: int
    seconds: float
    planned_seconds: float | None
    skill: float
    score: float | None
    best_update: int
    num_skipped: int
    num_parameters: int
    stopped_early: bool = False
    finding: str | None = None
    cpu_seconds: float = 0.0


Kind = Literal["trivial", "solver", "baseline", "ours", "reference"]
"""What a rung is there for."""


class RungRecord(Settings):
    """One rung as it stands in the ladder, from low to high."""

    name: str
    """As in the rows."""
    kind: Kind
    """What it is there for; a reference knows what no competitor can."""
    folder: str = ""
    """Where its stepper is saved, in `stages/`; empty if it is made from the truth and is no stepper."""
    num_members: int = 1
    """Of the ensembles that it forecasts; 1 is a point forecast."""
    frames_read: int | None = None
    """Frames of a context, at most, that it reads; None where it is no stepper."""
    calls_per_frame: int | None = None
    """Calls of the network that draws a frame's residual; None where nothing is sampled."""


class ProtocolRecord(Settings):
    """One way in which the rungs were questioned; the first of a record ranks."""

    name: str
    description: str = ""
    metric: str
    """What ranks the rungs."""
    mean_metric: str = ""
    """What ranks the means of ensembles, where `metric` judges all members."""


class DataRecord(Settings):
    """What the trajectories of a run were."""

    source: str
    """The kind of the source."""
    digest: str = ""
    """Of the values, in all splits."""
    equation: str = ""
    """Its name, where it is known."""
    trajectories: dict[str, int]
    """In each split."""
    frames: int
    fields: Fields
    """Names, units, grid and boundaries, time step."""
    params: dict[str, list[str]]
    """Every value of each parameter."""
    truth_floor: float | None = None
    """nRMSE of the data themselves, where it is known."""


class Record(Settings):
    """What every run leaves behind, of whichever bench."""

    bench: str = ""
    settings: dict[str, Any]
    """Of the recipe, all of them."""
    seed: int
    started: str
    """Local time, to the second."""
    versions: dict[str, str]
    machine: dict[str, Any]
    """Processor, cores, threads, accelerator: what costs depend on."""
    stages: dict[str, Fitted] = {}
    """Every training, in its order."""
    notes: tuple[str, ...] = ()
    """What a reader has to know before the numbers."""
    evaluated: str = ""
    finished: str = ""
    """Empty as long as the run is not."""
    files: dict[str, str] = {}
    """The sha256 of each file beside the record on which its numbers or their pairing rest."""

    def also(self, **parts: Any) -> Any:
        """Return the record with some parts replaced, all of it validated again."""
        return type(self).model_validate(dict(self) | parts)


class PhysicsRecord(Record):
    """The record of a ladder."""

    bench: Literal["physics"] = "physics"
    data: DataRecord | None = None
    ladder: tuple[RungRecord, ...] = ()
    """From low to high."""
    protocols: tuple[ProtocolRecord, ...] = ()
    not_scored: dict[str, dict[str, str]] = {}
    """By protocol and rung: why there is no score."""
    guards: dict[str, tuple[str, ...]] = {}
    """By rung: what it had to show beside its loss, in words."""
    judged: dict[str, dict[str, float]] = {}
    """By rung: the numbers behind the words."""


class ImageRecord(Record):
    """The record of an image bench."""

    bench: Literal["images"] = "images"
    data: dict[str, Any] = {}
    weighting: dict[str, Any] = {}
    features: str = ""
    oracle: tuple[dict[str, Any], ...] = ()


class _File(Settings):
    record: Annotated[PhysicsRecord | ImageRecord, Field(discriminator="bench")]


def begin(folder: Path, settings: Settings, kind: type[Record]) -> Any:
    """Return the record of the run in a folder; a new one is written, also over one that came to no training.

    Raises:
        UserError: the folder holds a run with other settings, in which training has begun; the message names them.
    """
    chosen = settings.model_dump(mode="json")
    if (folder / NAME).exists():
        found = read(folder)
        different = _differences(found.settings, chosen)
        if different and any(folder.glob("stages/*/plan.json")):
            raise UserError(f"{folder}: holds a run with other settings ({different}); choose another --out")
        if not different:
            return found
    made = kind(
        settings=chosen,
        seed=chosen["seed"],
        started=now(),
        versions={"ups": ups.__version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
        machine=machine(),
    )
    write(folder, made)
    return made


def read(folder: Path) -> PhysicsRecord | ImageRecord:
    """Return the record of a run folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / NAME
    try:
        content = unsealed(path.read_bytes(), path)
    except OSError:
        raise UserError(f"{folder}: not a run folder (no {NAME})") from None
    try:
        return validate(_File, {"record": content}).record
    except UserError as error:
        raise UserError(f"{path}: not the record of a run: {str(error)[:200]}") from None


def read_finished(folder: Path) -> PhysicsRecord | ImageRecord:
    """Return the record of a finished run.

    Raises:
        UserError: there is none, it is damaged, or the run is not finished.
    """
    found = read(folder)
    if not found.finished:
        raise UserError(f"{folder}: the run is not finished; `ups run` with the same settings finishes it")
    return found


def read_identities(folder: Path, name: str) -> list[str]:
    """Return the identities of trajectories that a run wrote down, as `KNOWN` or as `TESTED`.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / name
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UserError(f"{path}: damaged, a list of digests is expected")
    return found


def require_intact(folder: Path, made: Record) -> None:
    """See that every file on which a record rests is the one that it was written with.

    Raises:
        UserError: one is missing or damaged.
    """
    for name, written in made.files.items():
        path = folder / Path(name).name
        if not path.is_file() or file_digest(path) != written:
            raise UserError(f"{path}: missing or damaged, it is not what {NAME} was written with")


def write(folder: Path, made: Record) -> None:
    """Replace the record in one step."""
    files = {name: file_digest(folder / name) for name in KEPT if (folder / name).is_file()}
    with written_whole(folder / NAME) as temporary:
        temporary.write_text(sealed(made.also(files=files).model_dump(mode="json")))


def now() -> str:
    """Return the local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def machine() -> dict[str, Any]:
    """Return what the costs of a run depend on: processor, cores, threads, accelerator."""
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def describe(source: Any, parts: dict[str, Trajectory], digest: str = "") -> DataRecord:
    """Return what the record says about the data of a source, `parts` by the name of the split."""
    first = next(iter(parts.values()))
    return DataRecord(
        source=source.kind,
        digest=digest,
        equation=getattr(source, "equation", "") or "",
        trajectories={name: len(part) for name, part in parts.items()},
        frames=first.values.shape[1],
        fields=first.fields,
        params={
            name: [
                f"{value:g}"
                for value in torch.cat([p.params[:, index] for p in parts.values()]).unique().tolist()
            ]
            for index, name in enumerate(first.fields.params)
        },
        truth_floor=source.truth_floor() if hasattr(source, "truth_floor") else None,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _differences(old: Any, new: Any, path: str = "") -> str:
    """Return 'a.b: 1 -> 2, c: 3 -> 4' for the settings that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        inside = (
            _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            for key in sorted(old.keys() | new.keys())
        )
        return ", ".join(text for text in inside if text)
    return "" if old == new else f"{path}: {old} -> {new}"
