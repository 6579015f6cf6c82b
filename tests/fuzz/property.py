"""What must hold of every command, whatever it is given: it does its work, or refuses in one line and leaves all alone.

A command runs in a process of its own, forked from one that has everything imported, in a folder of its own.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

MAX_LINE = 300
MAX_SECONDS = 60.0
MAX_MEMORY = 1.0
"""GB above what a process has that only imported the package."""


@dataclass(frozen=True)
class Case:
    """One command, what is made of its folder before it, and what it may write if it succeeds."""

    kind: str
    words: tuple[str, ...]
    spoil: Callable[[Path], None] = lambda folder: None
    may_write: tuple[str, ...] = ()
    """Patterns of paths in the folder."""
    pictures: bool = False
    """Whether a report is drawn; it takes most of the time of a command that succeeds."""
    refused: bool = False
    """Whether no success can be right."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, seconds and memory (GB above the package's), and what is wrong with that."""

    code: int
    seconds: float
    memory: float
    fault: str = ""


def carry_out(case: Case, template: Path, folder: Path) -> Outcome:
    """Run one case in a copy of the template, and judge it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    case.spoil(folder)
    before = contents(folder)
    code, seconds, memory, said = run(case.words, folder, case.pictures)
    return Outcome(code, seconds, memory, fault(case, code, seconds, memory, said, before, contents(folder)))


def fault(
    case: Case,
    code: int,
    seconds: float,
    memory: float,
    said: str,
    before: dict[str, str],
    after: dict[str, str],
) -> str:
    """Return what is wrong with the end of a command, or nothing."""
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    lines = [line for line in said.splitlines() if line.strip()]
    if seconds > MAX_SECONDS:
        return f"took {seconds:.0f} s"
    if memory > MAX_MEMORY:
        return f"took {memory:.0f} GB"
    if "Traceback" in said or "Warning:" in said:
        return f"exit {code}: {next(line for line in reversed(lines) if line.strip())[:MAX_LINE]}"
    if code == 0 and case.refused:
        return "exit 0 for what cannot be right"
    if code == 0:
        wrong = [name for name in changed if not any(fnmatch(name, like) for like in case.may_write)]
        return f"exit 0 and changed {', '.join(wrong[:5])}" if wrong else ""
    if code != 2:
        return f"exit {code}: {lines[-1][:MAX_LINE] if lines else ''}"
    if changed:
        return f"exit 2 and changed {', '.join(changed[:5])}"
    errors = [line for line in lines if not is_progress(line)]
    if case.words[:2] == ("data", "check") and not errors:
        return ""  # its findings are its result
    if len(errors) != 1:
        return f"exit 2 with {len(errors)} lines: {errors[:3]}"
    if len(errors[0]) > MAX_LINE:
        return f"exit 2 with a line of {len(errors[0])} characters: {errors[0][:100]} ..."
    return ""


def is_progress(line: str) -> bool:
    """Return whether a line of standard error tells of progress, which is no part of a refusal."""
    return ": done in " in line or "left  " in line or line.startswith(("report: ", "study "))


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file and the target of every link; folders count, the locks of processes do not."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.name == ".lock" or "__pycache__" in name:
            continue
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def run(words: tuple[str, ...], folder: Path, pictures: bool) -> tuple[int, float, float, str]:
    """Run a command line in a folder; return its exit code, seconds, GB of memory more than now, and standard error."""
    said, had, begun = folder.with_suffix(".stderr"), memory(), time.monotonic()
    child = os.fork()
    if child == 0:
        _command(words, folder, said, pictures)
    killed = False
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if not killed and time.monotonic() - begun > MAX_SECONDS:
            killed = True
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    _, status, used = ended
    seconds = time.monotonic() - begun
    code = os.waitstatus_to_exitcode(status)
    return code, seconds, used.ru_maxrss / 1e6 - had, said.read_text(errors="replace")


def memory() -> float:
    """Return the GB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e9


def _command(words: tuple[str, ...], folder: Path, said: Path, pictures: bool) -> None:
    """Be `ups WORDS` in a folder; does not return."""
    code = 1
    try:
        os.chdir(folder)
        nothing = os.open(os.devnull, os.O_RDWR)
        error = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.dup2(error, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["ups", *words]
        sys.path.insert(0, "")
        from ups import cli
        from ups.runs import pipeline, reevaluate

        if not pictures:
            pipeline.write_report = reevaluate.write_report = lambda folder: None

        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
