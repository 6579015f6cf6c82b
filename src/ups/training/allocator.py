"""Keep freed memory in the process: every activation of a small network would otherwise be paid in page faults."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of mallopt's parameters, from malloc.h
LARGEST_MMAP_THRESHOLD = 32 << 20  # the most that 64-bit glibc takes
NEVER = -1  # a graph of several GB, freed at every update, must not go back to the system either


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed blocks instead of giving them back to the system; return whether it will.

    A block above the threshold (128 KiB at first) is a fresh mapping each time, and each of its pages a fault:
    measured once on the default network, batch 50: 77 ms of CPU became 50. Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)) and bool(mallopt(TRIM_THRESHOLD, NEVER))
