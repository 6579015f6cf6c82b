"""`PYTHONPATH=tests python -m fuzz.kills --kills 100`: commands that are killed at random moments and run again.

Each must end as if nothing had happened: the same numbers to the last bit, the same files, and no half-written table or
forecast at any time. Exit 1 if one did not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from fuzz.campaign import make_template
from ups.evaluation.rows import query

HERE = Path(__file__).parents[1]
ROWS = "select * exclude (run) from rows where protocol != 'cost' order by all"
SHORT = ("training.updates=150", "training.checkpoint_every_seconds=0.05")
MOST_KILLS = 4
"""Of one command, before it is left to end."""


class Work(NamedTuple):
    """A command, and what it makes."""

    words: tuple[str, ...]
    made: str


WORKS = {
    "run": Work(("run", "tiny_recipe.py:tiny", *SHORT, "--out", "new"), "new"),
    "evaluate": Work(("evaluate", "R", "--data", "data.h5", "--out", "scored"), "scored"),
    "predict": Work(("predict", "R", "--input", "data.h5", "--output", "ahead.h5", "--force"), "ahead.h5"),
    "make": Work(("data", "make", "made.h5", "nu=0.01", "num_trajectories=60", "--force"), "made.h5"),
    "study": Work(
        ("study", "tiny_study.py:rates", "seeds=[0,1]", "--workers", "2", "--out", "asked"), "asked"
    ),
    "ray": Work(
        ("study", "tiny_study.py:rates", "seeds=[0,1]", "--engine", "ray", "--out", "asked"), "asked"
    ),
}


class Judged(NamedTuple):
    """How often a command was killed, and what is wrong with its end."""

    kills: int
    fault: str


def campaign(
    home: Path, works: tuple[str, ...], kills: int, seed: int, say: Callable[[str, Judged], None]
) -> tuple[Counter, int]:
    """Kill commands in turn until there were so many kills; return how many of each, and how many ended wrong."""
    os.environ["UPS_CACHE"] = str(home / "cache")
    template = home / "template"
    if not template.exists():
        make_template(template)
        shutil.copy(HERE / "tiny_study.py", template)
    expected = {name: whole(WORKS[name], template, home / f"whole_{name}") for name in works}
    draw, counts, wrong = random.Random(seed), Counter(), 0
    while sum(counts.values()) < kills:
        for name in works:
            judged = kill(WORKS[name], template, home / "case", expected[name], draw)
            counts[name] += judged.kills
            wrong += bool(judged.fault)
            say(name, judged)
    return counts, wrong


class Whole(NamedTuple):
    """What a command makes that nobody interrupts, and how long it takes."""

    numbers: dict[str, str]
    files: frozenset[str]
    seconds: float


def whole(work: Work, template: Path, folder: Path) -> Whole:
    """Carry a command out in peace."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    begun = time.monotonic()
    process = start(work, folder)
    said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"ups {' '.join(work.words)}: exit {process.returncode}: {said[-500:]}")
    return Whole(numbers(folder / work.made), files(folder), time.monotonic() - begun)


def kill(work: Work, template: Path, folder: Path, expected: Whole, draw: random.Random) -> Judged:
    """Kill a command at random moments, run it to its end, and compare that with the end in peace."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    kills, fault = 0, ""
    for attempt in range(MOST_KILLS + 1):
        with watched(folder) as found:
            process = start(work, folder)
            if attempt < MOST_KILLS:
                try:
                    process.wait(draw.uniform(0.2, 1.0) * expected.seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
            said = process.communicate()[1]
        fault = fault or next(iter(found), "")
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
    if process.returncode:
        return Judged(kills, f"exit {process.returncode}: {said.strip()[-300:]}")
    after, left = numbers(folder / work.made), files(folder) ^ expected.files
    if after != expected.numbers:
        fault = (
            fault
            or f"other numbers in {[name for name in after if after[name] != expected.numbers.get(name)]}"
        )
    if left:
        fault = fault or f"other files: {sorted(left)[:5]}"
    return Judged(kills, fault)


def start(work: Work, folder: Path) -> subprocess.Popen:
    """Begin a command in a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "ups", *work.words]
    silent = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=silent, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Read every table and forecast below a folder as they appear; the list fills with those that cannot be read."""
    faults: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            look(folder, faults)
        look(folder, faults)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield faults
    finally:
        over.set()
        thread.join()


def look(folder: Path, faults: list[str]) -> None:
    """Read what stands below a folder under its final name; what is gone again was whole."""
    for home, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(home) / name for name in names if not name.startswith(".")):
            try:
                numbers(path)
            except Exception as error:
                if path.exists():
                    faults.append(f"{path.relative_to(folder)} cannot be read: {str(error)[:200]}")


def numbers(made: Path) -> dict[str, str]:
    """Return the digest of every table and every data set below a path; costs are left out."""
    paths = sorted(made.rglob("*")) if made.is_dir() else [made]
    return {
        f"{path.relative_to(made)}{name}": hashlib.sha256(value).hexdigest()
        for path in paths
        for name, value in parts(path)
    }


def parts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the numbers of a file by name."""
    if path.suffix == ".parquet":
        yield "", repr([list(map(str, column)) for column in query(path, ROWS).values()]).encode()
    if path.suffix == ".h5":
        found = {}
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, node: (
                    found.update({name: np.asarray(node)}) if isinstance(node, h5py.Dataset) else None
                )
            )
        for name, value in found.items():
            yield f"/{name}", value.tobytes()


def files(folder: Path) -> frozenset[str]:
    """Return the names of all files; the locks of processes and the caches of Python do not count."""
    return frozenset(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and "__pycache__" not in path.parts
    )


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="other seeds are other moments")
    parser.add_argument("--work", action="append", choices=list(WORKS), default=[])
    parser.add_argument("--home", type=Path, help="where to work; what is there is used again")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="kills-"))

    def say(name: str, judged: Judged) -> None:
        print(f"{name}: killed {judged.kills} times: {judged.fault or 'ends the same'}", flush=True)

    works = tuple(given.work) or tuple(name for name in WORKS if name != "ray")
    counts, wrong = campaign(home, works, given.kills, given.seed, say)
    print(f"{sum(counts.values())} kills, {wrong} commands ended wrong; {dict(counts)}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
