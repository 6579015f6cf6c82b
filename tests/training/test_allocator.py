import platform
import resource
import subprocess
import sys

import pytest

from ups.training.allocator import keep_freed_memory

CODE = """
import resource, sys, torch
from ups.training.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(20):
    torch.zeros(1_000_000).add_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.zeros(1_000_000).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_kept_memory_is_not_faulted_in_again():
    def faults(mode):
        result = subprocess.run(
            [sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True
        )
        return int(result.stdout)

    pages = 50 * 4_000_000 / resource.getpagesize()
    assert faults("keep") < 0.05 * pages


def test_asking_twice_is_harmless():
    assert keep_freed_memory() == keep_freed_memory()
