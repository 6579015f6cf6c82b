"""What the command line says of an exception, in one line, and the exit code that goes with it."""

from __future__ import annotations

import signal

import typer

from ups.config import shown
from ups.training.fit import DivergenceError, Interrupted
from ups.types import UserError

LONGEST = 290
"""Characters of a line that tells of a fault."""


def explain(error: Exception) -> tuple[int, str]:
    """Return exit code and line: 0 for help, 2 where the user's input is at fault, 128 + n for signal n.

    Raises:
        Exception: the error itself, where it is a failure of ours.
    """
    if isinstance(error, Interrupted):
        return 128 + error.signum, f"interrupted: {error}; run the same command again to resume"
    if type(error).__name__ == "NoArgsIsHelpError":  # typer brings its own click, or uses the installed one
        return 0, str(error)
    if isinstance(error, typer.Abort):
        return 128 + signal.SIGINT, "interrupted"
    if say := getattr(error, "format_message", None):
        return 2, f"error: {shown(say(), LONGEST)}"
    if isinstance(error, UserError | DivergenceError):
        return 2, f"error: {shown(error, LONGEST)}"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return 2, f"error: not enough memory: {shown(error)}; fewer trajectories, cells or members"
    if isinstance(error, OSError) and error.errno:  # a full disk, a name that is too long
        return 2, f"error: {shown(error.filename or 'output')}: {error.strerror}"
    raise error
