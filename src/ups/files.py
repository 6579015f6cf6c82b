"""Files that appear whole or not at all, and never in place of what somebody else made."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ups.types import UserError

RUN = "run.json"
"""What a run keeps in its folder."""

FAILED = "failed.json"
"""What a study leaves in the folder of a run that failed: why."""

SEAL = "seal"
"""The entry of a JSON file that holds the digest of all others."""

OURS = (RUN, "study.json", "model.json")
"""Each of them makes a folder, and all below it, one that commands may read but not write into."""


@contextmanager
def written_whole(target: Path) -> Generator[Path]:
    """Yield a temporary path beside `target` that becomes `target` at the end, and vanishes on a failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    temporary = _beside(target)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def made_whole(target: Path) -> Generator[Path]:
    """Yield a new folder beside `target` that takes its place at the end, and vanishes on a failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    temporary, old = _beside(target), _beside(target, "old")
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def final_name(folder: Path) -> str:
    """Return the name of a folder, or the one that it will have if `made_whole` is making it."""
    name, host = folder.resolve().name, f".new.{socket.gethostname()}."
    return name[1 : name.rindex(host)] if name.startswith(".") and host in name else name


def _beside(target: Path, what: str = "new") -> Path:
    return target.with_name(f".{target.name}.{what}.{socket.gethostname()}.{os.getpid()}")


def _sweep(target: Path) -> None:
    """Remove what a process of this machine that was killed left beside a target."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.{glob.escape(socket.gethostname())}.*"):
        number = path.name.rpartition(".")[2]
        if number.isdigit() and (int(number) == os.getpid() or not Path(f"/proc/{number}").exists()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def sealed(tree: Mapping[str, Any]) -> str:
    """Return a JSON text of a mapping, with the digest of its content as its last entry."""
    content = json.loads(json.dumps(tree))
    return json.dumps(content | {SEAL: _digest(content)}, indent=2)


def unsealed(text: str | bytes, path: Path, always: bool = False) -> dict[str, Any]:
    """Return the mapping that `sealed` wrote; a text without a digest is taken as it is, unless it must `always` be.

    Raises:
        UserError: it is no mapping, or not the one that was written.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{path}: damaged, not valid JSON") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged, {type(content).__name__} where a mapping is expected")
    seal = content.pop(SEAL, None)
    if (always or seal is not None) and seal != _digest(content):
        raise UserError(f"{path}: damaged or changed, its content has another digest than the one in it")
    return content


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def require_output(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """See that a file may be written, before the work for it begins.

    Its folder is there and can be written; it is no input, no part of a run or a study, no link and no device; and
    what is there already is replaced by `force` only.

    Raises:
        UserError: it may not.
    """
    require_folder(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path}: is no plain file; choose another name")
    if any(path.exists() and given.exists() and path.samefile(given) for given in inputs):
        raise UserError(f"{path}: is the input, which would be lost; choose another name")
    require_outside(path)
    if path.exists() and not force:
        raise UserError(f"{path}: exists; --force replaces it")


def require_home(folder: Path, marks: Iterable[str]) -> None:
    """See that a folder is new or empty, or holds one of the files that mark it as its owner's already.

    Raises:
        UserError: it holds something else.
    """
    require_place(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another --out")
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if there and not there & set(marks):
        raise UserError(f"{folder}: holds other things than {' or '.join(marks)}; choose another --out")


def require_outside(path: Path) -> None:
    """See that a path lies in no folder that a run, a study or a model keeps to itself.

    Raises:
        UserError: it does.
    """
    for folder in path.resolve().parents:
        for name in OURS:
            if (folder / name).is_file():
                raise UserError(f"{path}: lies in {folder}, which holds {name}; choose a place outside")


def require_folder(path: Path) -> None:
    """See that a file can be written into its folder.

    Raises:
        UserError: the folder does not exist or cannot be written, or the name is none.
    """
    with _named(path):
        path.exists()  # a name may be too long to be one
        if not path.name or not path.parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise UserError(f"{path}: permission denied")


def require_place(path: Path) -> None:
    """See that a file or a folder can be made, with the folders above it that are missing.

    Raises:
        UserError: one of them is a file or cannot be written, or the name is none.
    """
    with _named(path):
        path.exists()
        above = next(folder for folder in (*path.absolute().parents, Path("/")) if folder.exists())
        if not above.is_dir():
            raise UserError(f"{path}: {above} is no folder; choose another --out")
        if not os.access(above, os.W_OK):
            raise UserError(f"{path}: permission denied; choose another --out")


@contextmanager
def _named(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be written: {getattr(error, 'strerror', '') or error}") from None
