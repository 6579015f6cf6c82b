"""The run folder while a run trains: one writer, whole files, and a checkpoint that survives anything."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ups.files import FAILED, RUN, require_home, sealed, unsealed, written_whole
from ups.training import distributed
from ups.types import UserError

TURNS = ".turns"
"""In a folder of runs that share stages: a lock for each stage."""
PARTS = ("plan.json", "log.jsonl", "model.safetensors", "finished.json")
"""Of a finished stage; the last one says that the others are whole."""


class Store:
    """A run folder that this process alone may write; the lock is held until `close`, or the end of the process.

    Under torchrun the main process holds the lock and writes; the others neither read nor write. `beside` is a folder
    of runs that train some stages alike: one that is finished in any of them is taken over, and while one of them
    trains it the others wait.

    Raises:
        UserError: the folder cannot be made or written, or another run is at work in it.
    """

    def __init__(self, folder: Path, beside: Path | None = None) -> None:
        self.folder = folder
        self.beside = beside
        self._lock: int | None = None
        self._turn: int | None = None
        if not distributed.is_main():
            return
        require_home(folder, (RUN, FAILED, "stages"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UserError(
                f"{folder}: another run is at work in this folder; choose another --out"
            ) from None
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror}; choose another --out") from None

    def close(self) -> None:
        """Let other runs into the folder."""
        self.end_turn()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def end_turn(self) -> None:
        """Let other runs train the stage that this one has trained, or take it over."""
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stage(self, name: str, digest: str) -> StageStore:
        """Return the store of one stage, whose settings and inputs have this digest: of equal ones one is trained."""
        own = StageStore(self.folder / "stages" / name, digest)
        if self.beside is not None and distributed.is_main() and own.finished() is None:
            self.end_turn()
            self._turn = _turn(self.beside / TURNS / f"{name}-{digest}")
            for path in self.beside.glob(f"*/stages/{name}"):
                if _lends(path, digest):
                    own.take_over(path)
                    self.end_turn()
                    break
        return own


class StageStore:
    """`stages/<name>/`: plan.json, log.jsonl, then checkpoint.safetensors or (model.safetensors, finished.json).

    A safetensors file holds its tensors and, in its header, the numbers that belong to them: one rename replaces
    both. Nothing is written but by the main process.

    Raises:
        UserError: the folder holds a stage of another digest.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest
        if distributed.is_main():
            for name in ("plan.json", "finished.json"):
                record = self._read_json(name)
                if record is not None and record.get("digest") != digest:
                    raise UserError(
                        f"{folder}: holds a run with other settings or data; choose another --out"
                    )

    def plan(self) -> dict[str, Any] | None:
        """Return what `write_plan` wrote, or None."""
        return self._read_json("plan.json")

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write the plan, before the first update; every resume follows it."""
        self._write("plan.json", sealed({"digest": self.digest} | plan).encode())

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and numbers of the last checkpoint, or None."""
        return self._read_tensors("checkpoint.safetensors")

    def write_checkpoint(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Replace the checkpoint in one step."""
        self._write("checkpoint.safetensors", _pack(tensors, numbers))

    def finished(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the weights and the record of a finished stage, or None if it is not finished."""
        record = self._read_json("finished.json")
        stored = self._read_tensors("model.safetensors")
        return (stored[0], record) if record is not None and stored is not None else None

    def finish(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write the weights, then the marker; then the checkpoint may go."""
        self._write("model.safetensors", _pack(tensors, {}))
        self._write("finished.json", sealed(record | {"digest": self.digest}).encode())
        if distributed.is_main():
            (self.folder / "checkpoint.safetensors").unlink(missing_ok=True)

    def take_over(self, lender: Path) -> None:
        """Make the finished stage of another run this run's own."""
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "checkpoint.safetensors").unlink(missing_ok=True)
            for name in PARTS:
                with written_whole(self.folder / name) as temporary:
                    shutil.copyfile(lender / name, temporary)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the log."""
        return read_log(self.folder / "log.jsonl")

    def append(self, row: dict[str, Any]) -> None:
        """Add a row to the log; numbers that are not finite become null."""
        if distributed.is_main():
            with _explained(self.folder), open(self.folder / "log.jsonl", "a") as file:
                file.write(_line(row))

    def rewind(self, update: int) -> None:
        """Drop the rows of updates after `update`: the run makes them again."""
        rows = [row for row in self.rows() if row["update"] <= update]
        self._write("log.jsonl", "".join(map(_line, rows)).encode())

    def forget(self) -> None:
        """Remove log and checkpoint: without a plan the stage begins anew."""
        if distributed.is_main():
            for name in ("log.jsonl", "checkpoint.safetensors"):
                (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        """Write a file in full beside the old one, force it to the disk, and only then replace the old one."""
        if not distributed.is_main():
            return
        temporary = self.folder / f".{name}.tmp"
        with _explained(self.folder):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with open(temporary, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.folder / name)
                _sync(self.folder)
            except OSError:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            return unsealed((self.folder / name).read_bytes(), self.folder / name, always=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{self.folder / name}: {error.strerror}") from None

    def _read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if metadata.get("sha256") == _content(tensors, metadata["numbers"]):
                return tensors, json.loads(metadata["numbers"])
        except (SafetensorError, OSError, KeyError):
            pass
        raise UserError(f"{path}: is damaged; delete the folder {self.folder} to train it again")


def _lends(folder: Path, digest: str) -> bool:
    """Return whether a folder holds a finished stage of this digest, unharmed; its own run says what is wrong."""
    try:
        return StageStore(folder, digest).finished() is not None
    except UserError:
        return False


def _turn(path: Path) -> int:
    """Wait until no other process holds this lock, and hold it."""
    with _explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, none where there is no log; a last line that was cut off by a kill is left out."""
    rows: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def _pack(tensors: dict[str, Tensor], numbers: dict[str, Any]) -> bytes:
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(numbers)
    return save(whole, metadata={"numbers": text, "sha256": _content(whole, text)})


def _content(tensors: dict[str, Tensor], numbers: str) -> str:
    """Return the digest of tensors by name and of the text that goes with them."""
    found = hashlib.sha256(numbers.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _line(row: dict[str, Any]) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(finite) + "\n"


def _sync(folder: Path) -> None:
    """Force a rename in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(folder: Path) -> Any:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write: {error.strerror}; what was saved before is intact: make room or choose "
            "another --out, then run again"
        ) from None
