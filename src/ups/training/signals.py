"""Ctrl-C and SIGTERM during training: finish the update, keep a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818
    """A run stopped on a signal after it had saved a checkpoint; the same command resumes it."""

    def __init__(self, signum: int, where: str) -> None:
        super().__init__(f"{signal.Signals(signum).name} {where}")
        self.signum = signum


class Signals:
    """The signal that has arrived; 0 while none has."""

    def __init__(self) -> None:
        self.signum = 0


@contextmanager
def noted(signums: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)) -> Generator[Signals]:
    """Note the first of `signums` instead of dying of it; the second one acts as it always does.

    Outside the main thread, where Python cannot handle signals, nothing is noted.
    """
    arrived = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    previous = {signum: signal.getsignal(signum) for signum in signums}

    def restore() -> None:
        for signum, handler in previous.items():
            signal.signal(signum, handler)

    def note(signum: int, frame: FrameType | None) -> None:
        arrived.signum = signum
        restore()

    for signum in signums:
        signal.signal(signum, note)
    try:
        yield arrived
    finally:
        restore()
