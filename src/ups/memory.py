"""Memory: what there is, asked before work that would need more."""

from __future__ import annotations

from pathlib import Path

from ups.types import UserError

CGROUP = Path("/sys/fs/cgroup")


def available() -> float:
    """Return the bytes that this machine, or its container, can still give; infinite where it is unknown."""
    return min(_of_machine(), _of_container())


def require(num_bytes: float, what: str, advice: str) -> None:
    """See that so many bytes can be had.

    Raises:
        UserError: `what` needs more than there is; `advice` says what to do.
    """
    if num_bytes > (there := available()):
        raise UserError(
            f"{what} needs {num_bytes / 1e9:.3g} GB of memory, {there / 1e9:.3g} GB are free: {advice}"
        )


def _of_machine() -> float:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024.0 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return float("inf")


def _of_container() -> float:
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        return float(limit) - float((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return float("inf")
