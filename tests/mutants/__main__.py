"""`PYTHONPATH=tests python -m mutants`: plant each bug in a copy of the source; exit 1 if the tests miss one."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants.planted import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the check that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("--only", default="", help="bugs whose name holds this text")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.name]
    missed = []
    with ThreadPoolExecutor(given.workers) as pool:
        for mutant, verdict in zip(chosen, pool.map(verdict_of, chosen), strict=True):
            print(f"{verdict:9} {mutant.name}", flush=True)
            missed += [mutant] if verdict != "caught" else []
    print(f"{len(chosen)} planted, {len(missed)} missed")
    return int(bool(missed))


def planted(mutant: Mutant) -> str:
    """Return the file with the bug in it.

    Raises:
        ValueError: the line is not there, or more than once: the table has to follow the source.
    """
    text = (ROOT / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {text.count(mutant.old)} times in {mutant.file}: {mutant.old!r}")
    return text.replace(mutant.old, mutant.new)


def verdict_of(mutant: Mutant) -> str:
    """Return caught or missed; "unclear" if the tests could not be run."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("src", "tests", "benchmarks", "docs"):
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        (Path(folder) / mutant.file).write_text(planted(mutant))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            *mutant.tests.split(),
        ]
        environment = os.environ | {"PYTHONPATH": str(Path(folder) / "src"), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return {0: "missed", 1: "caught"}.get(ended.returncode, "unclear")


if __name__ == "__main__":
    sys.exit(main())
