"""Cells side by side: each a process of its own, on the cores of this machine or, with Ray, on those of many.

A process is the command `ups study STUDY ... --only CELL`. One that is killed is begun again where it was; it does not
outlive whoever began it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ups.config import shown
from ups.progress import Progress
from ups.studies.carry_out import LOGS, Ended, Engine, failure
from ups.studies.study import Cell, Study
from ups.types import UserError

ATTEMPTS = 3
"""How often a cell is begun whose process is killed."""
LOOK_EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""How long a cell may take to save its checkpoint."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
PARENT = "UPS_PARENT"
"""In the environment of a cell: the process with which it ends."""
FAILED_CELL = 2
"""Exit code of a cell that has failed by its own fault, and has written down why."""


class Asked(NamedTuple):
    """How a study was asked for: its name (or file), and what was changed of it."""

    name: str
    assignments: tuple[str, ...] = ()


class Task(NamedTuple):
    """The process of one cell: its command, its environment beside that of this process, and its log."""

    cell: Cell
    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    home: Path | None = None
    """Where relative names of files are meant."""


class Chosen(NamedTuple):
    """An engine, None for the process itself, and how many cells it runs at a time on the cores of this machine."""

    engine: Engine | None
    at_once: int


def choose(engine: str, asked: Asked, study: Study, workers: int | None = None) -> Chosen:
    """Return the engine of this name; where one cell runs at a time it is the process itself.

    Raises:
        UserError: there is no engine of that name, or it cannot be had.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = len(study.seeds) * len(study.assignments)
    at_once = workers or (1 if torch.cuda.is_available() else min(cores, number))
    threads = max(1, cores // at_once)
    if engine == "ray":
        return Chosen(on_ray(asked, threads), at_once)
    if engine != "local":
        raise UserError(f"--engine {shown(engine)}: local or ray")
    return Chosen(on_cores(asked, at_once, threads) if at_once > 1 else None, at_once)


def tasks(asked: Asked, folder: Path, left: Sequence[Cell], threads: int) -> list[Task]:
    """Return the processes of all cells; each works with so many threads.

    Cells of one seed share stages, for which all but one wait: they are begun one after the other.
    """
    (folder / LOGS).mkdir(exist_ok=True)
    variants = list(dict.fromkeys(cell.variant for cell in left))
    environment = {name: str(threads) for name in THREADS}
    return [
        Task(
            cell,
            (
                *(sys.executable, "-m", "ups", "study", asked.name, *asked.assignments),
                *("--out", str(folder.resolve()), "--only", cell.name),
            ),
            environment,
            (folder / LOGS / f"{cell.name}.txt").resolve(),
            Path.cwd(),
        )
        for cell in sorted(left, key=lambda cell: variants.index(cell.variant))
    ]


def on_cores(asked: Asked, workers: int, threads: int) -> Engine:
    """Return the engine that runs so many cells at a time, each in a process of so many threads."""

    def engine(study: Study, folder: Path, left: Sequence[Cell], progress: Progress) -> Generator[Ended]:
        waiting = tasks(asked, folder, left, threads)
        running: dict[subprocess.Popen, tuple[Task, int]] = {}
        done = 0
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    task = waiting.pop(0)
                    running[_start(task)] = task, 1
                time.sleep(LOOK_EVERY_SECONDS)
                progress(done / len(left), _said(folder, [task for task, _ in running.values()], done, left))
                for process in [process for process in running if process.poll() is not None]:
                    task, attempt = running.pop(process)
                    if was_killed(process.returncode) and attempt < ATTEMPTS:
                        running[_start(task)] = task, attempt + 1
                        continue
                    done += 1
                    yield ended(task, process.returncode, folder)
        finally:
            _stop(list(running))

    return engine


def on_ray(asked: Asked, threads: int, address: str | None = None) -> Engine:
    """Return the engine that runs cells on a Ray cluster, of which every machine sees the folder of the study.

    Without an address it is the cluster that RAY_ADDRESS names, or one on the cores of this machine.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise UserError(
            "--engine ray: Ray is not installed; `pip install 'universal-physics-stack[ray]'`"
        ) from None

    def engine(study: Study, folder: Path, left: Sequence[Cell], progress: Progress) -> Generator[Ended]:
        waiting: dict[Any, Task] = {}
        mine = not ray.is_initialized()
        if mine:
            _join(ray, address)
        try:
            remote: Any = ray.remote(num_cpus=threads, max_retries=ATTEMPTS - 1)(_to_its_end)
            waiting |= {remote.remote(task): task for task in tasks(asked, folder, left, threads)}
            done = 0
            while waiting:
                found, _ = ray.wait(list(waiting), timeout=1.0)
                progress(done / len(left), _said(folder, list(waiting.values()), done, left))
                for reference in found:
                    task = waiting.pop(reference)
                    done += 1
                    yield ended(task, ray.get(reference), folder)
        finally:
            for reference in waiting:
                ray.cancel(reference)
            if mine:
                ray.shutdown()

    return engine


def end_with_the_parent() -> None:
    """In a process that an engine began: die when the engine does, however it dies; a checkpoint loses little."""
    if parent := os.environ.get(PARENT):

        def watch() -> None:
            while os.getppid() == int(parent):
                time.sleep(LOOK_EVERY_SECONDS)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def was_killed(code: int) -> bool:
    """Return whether a process with this exit code died of a signal, or stopped at one after it saved a checkpoint."""
    return code < 0 or code > 128


def ended(task: Task, code: int, folder: Path) -> Ended:
    """Return what came of a process that has ended with an exit code.

    Raises:
        UserError: it was killed too often.
        RuntimeError: it failed by a fault of ours; the log says where.
    """
    if code == 0:
        return Ended(task.cell, "")
    if code == FAILED_CELL:
        return Ended(task.cell, failure(folder / task.cell.name) or _last_line(task.log))
    if was_killed(code):
        name = signal.Signals(-code if code < 0 else code - 128).name
        raise UserError(
            f"{folder / task.cell.name}: killed by {name} {ATTEMPTS} times; is there memory for it? fewer --workers, "
            "or smaller runs"
        )
    raise RuntimeError(f"{task.cell.name}: {_last_line(task.log)}; all of it is in {task.log}")


def _start(task: Task) -> subprocess.Popen:
    with open(task.log, "ab") as log:
        return subprocess.Popen(
            task.command,
            cwd=task.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then lets each save its checkpoint
            env={**os.environ, **task.environment, PARENT: str(os.getpid())},
        )


def _stop(running: Sequence[subprocess.Popen]) -> None:
    """Let processes save their checkpoints, and wait for them."""
    for process in running:
        with suppress(ProcessLookupError):
            process.terminate()
    for process in running:
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _to_its_end(task: Task) -> int:
    """Run one process on the machine where this is called; one that is killed is begun again by whoever called."""
    process = _start(task)
    try:
        code = process.wait()
    finally:
        _stop([process])  # of a study that is given up
    if was_killed(code):
        os._exit(1)  # Ray begins a task again whose worker died
    return code


def _join(ray: Any, address: str | None) -> None:
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            configure_logging=True,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise UserError(f"--engine ray: no cluster at {address}: {error}") from None


def _said(folder: Path, running: Sequence[Task], done: int, left: Sequence[Cell]) -> str:
    """Say how many cells have ended, and the last word of those that run."""
    words = [f"{task.cell.name}: {word}" for task in running if (word := _last_line(task.log))]
    return f"{done} of {len(left)} cells; {'; '.join(words)}"[:200]


def _last_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 500))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
