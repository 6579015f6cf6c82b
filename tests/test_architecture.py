"""The rules of the house (docs/architecture.md), kept by reading the source."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "ups"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = [path for path in FILES if path.name not in ("__init__.py", "__main__.py")]

FLOORS = [
    {"types"},
    {"config", "streams", "progress", "files", "memory"},
    {"record", "checkpoint", "statistics"},
    {"diffusion", "solvers", "nets", "probes"},
    {"data", "models"},
    {"training"},
    {"search"},
    {"evaluation", "control"},
    {"reports"},
    {"images"},
    {"runs"},
    {"studies"},
    {"recipes", "faults"},
    {"cli"},
]
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

# What may be written in one place only, and where.
BANNED = {
    r"\b1(\.0)? - t\b": {"diffusion/process.py"},
    r"\btau\b": set(),
    r"randn_like|rand_like": set(),
    r"manual_seed": {"streams.py", "models/initialization.py"},
    r"torch\.load|pickle|allow_pickle=True": {"images/serialized.py"},  # it reads opcodes, and runs none
    r"import \*": set(),
    r"pyplot": set(),
    r"print\(": {"cli.py"},
}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "ups" else [module]
        rooms |= {name.split(".")[1] for name in names if name.startswith("ups.")}
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_lower_floors_only(path):
    here = room(path)
    assert here in HEIGHT, f"{path}: '{here}' is on no floor; add it to docs/architecture.md and here"
    for other in imported_rooms(path) - {here}:
        if other == "__version__":
            continue
        assert HEIGHT[other] < HEIGHT[here], f"{path}: {here} may not import {other}"


def test_diffusion_needs_torch_alone():
    allowed = {
        "torch",
        "jaxtyping",
        "math",
        "typing",
        "dataclasses",
        "collections",
        "abc",
        "__future__",
        "ups",
    }
    for path in (SOURCE / "diffusion").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in allowed, path
        assert imported_rooms(path) <= {"diffusion"}, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_is_one_idea_long(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_has_its_test_file(path):
    mirror = ROOT / "tests" / path.relative_to(SOURCE).parent / f"test_{path.stem}.py"
    assert mirror.exists(), f"{path.relative_to(ROOT)} has no {mirror.relative_to(ROOT)}"


@pytest.mark.parametrize("pattern", BANNED)
def test_what_has_one_place_stays_there(pattern):
    for path in FILES:
        if str(path.relative_to(SOURCE)) not in BANNED[pattern]:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                assert not re.search(pattern, line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_nothing_is_called_utils():
    vague = {"utils", "helpers", "manager", "base", "misc", "common", "v2", "new"}
    assert not [path for path in FILES if path.stem in vague]


def test_the_command_line_answers_help_at_once_and_without_torch():
    code = "import sys; import ups.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ups", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0  # half a second on a quiet machine


def test_the_source_is_linted():
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "src", "tests", "benchmarks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_the_source_is_formatted():
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "src", "tests", "benchmarks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_the_types_check():
    result = subprocess.run(
        [sys.executable, "-m", "ty", "check", "src"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:]
