"""Hostile inputs by kind, drawn from a seed: settings, recipes, data, run folders, command lines."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from fuzz.property import Case

RECIPE = "tiny_recipe.py:tiny"
PICTURES = 0.1
"""Share of the cases in which reports are drawn."""

READ = ("inspect", "check", "export", "predict", "evaluate")
"""What is done with a file of data."""

WORDS = (
    *(
        "0",
        "-1",
        "1",
        "2",
        "3",
        "7",
        "1e9",
        "1e25",
        "-1e25",
        "1e-300",
        "1e300",
        ".inf",
        "-.inf",
        ".nan",
        "0.5",
    ),
    *(
        "null",
        "true",
        "~",
        "''",
        "x",
        "ü" * 400,
        "[]",
        "{}",
        "[0]",
        "[1, 2]",
        "[-1, 1]",
        "[0.9]",
        "[[0.0, 1]]",
    ),
    *(
        "[[]]",
        "[[[[]]]]",
        "{a: 1}",
        "{kind: none}",
        "{kind: }",
        "2026-11-30",
        "2026-11-30 01:02:03",
        "0x10",
        "1_0",
    ),
    *(
        "!!float x",
        "!!python/object:os.system x",
        "&a [*a]",
        "9" * 5000,
        "a: b: c",
        "[",
        "{",
        "\x00",
        "a\nb",
        "=",
        "*",
    ),
    *("../../etc/passwd", "/dev/null", "1000000", "[1000000, 1000000]", "{x: periodic, y: wall}", "1e9999"),
)
"""Values that a setting may be given, as they stand on a command line or in a file."""

MADE = ("equation", "nu", "num_cells", "num_frames", "dt", "extent", "boundary", "initial", "rest", "forcing")
"""Settings of data that are made."""

TEXTS = (
    *(b"", b"null", b"[]", b"{}", b"0", b'"x"', b"\x00" * 50, b"\xff\xfe\x00", b"{", b"[" * 100000, b"NaN"),
    *(b'{"kind": "x"}', b'{"a": ' * 2000, b"\n", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b'{"digest": 1}'),
)
"""What a file may be replaced with."""

NAMES = (
    *(".", "..", "/", "/dev/full", "/dev/null", "R", "R/run.json", "R/stages", "data.h5", "link.h5"),
    *(
        "no/such/out.h5",
        "x" * 300,
        "a\nb.h5",
        "out.txt",
        "-",
        "~",
        "",
        " ",
        "tiny_recipe.py",
        "arrays.npz",
        "loose",
    ),
)
"""What may be meant by a path."""


FREE = ("out.h5", "made.h5", "no/*", "no", "x*", "a*b.h5*", "-", "-/*", "~", "~/*", " ", " /*", "none", "none/*",
        "R/evaluations*", "R/probes*", "R/curvature*", "runs*", "studies*")  # fmt: skip
"""Names that nobody has, which may be written; "R", the data and whatever the user had may not."""


def draw(seed: int, kinds: tuple[str, ...] = ()) -> Iterator[Case]:
    """Yield cases without an end, of each kind in turn; `kinds` are all of them by default."""
    rng = random.Random(seed)
    while True:
        for name in kinds or KINDS:
            yield replace(KINDS[name](rng), pictures=rng.random() < PICTURES)


def settings(rng: random.Random) -> Case:
    """One or two settings of a run, or of a study, are given something."""
    changes = [f"{rng.choice(paths())}={rng.choice(WORDS)}" for _ in range(rng.choice((1, 1, 2)))]
    if rng.random() < 0.5:
        return Case("settings", ("show", RECIPE, *changes))
    few = ("training.updates=2", "num_members=2")
    return Case(
        "settings", ("run", RECIPE, *few, *changes, "--out", "new"), may_write=("new", "new/*", "cache*")
    )


def paths() -> list[str]:
    """Return the path of every setting of the tiny recipes, and of the groups that hold them."""
    from tiny_recipe import kicked, tiny
    from ups.runs.show import settings_lines

    leaves = [line.path for recipe in (tiny(), kicked()) for line in settings_lines(recipe)]
    groups = {path.rpartition(".")[0] for path in leaves} - {""}
    return sorted({*leaves, *groups, *(f"{group}.kind" for group in groups)})


def files_of_settings(rng: random.Random) -> Case:
    """A settings file is wrong somewhere."""
    value = rng.choice(WORDS)
    path = rng.choice(paths())
    *parents, leaf = path.split(".")
    nested = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(parents))
    text = rng.choice((
        f"extends: {RECIPE}\n{nested}{'  ' * len(parents)}{leaf}: {value}\n",
        f"extends: {value}\n",
        f"extends: {RECIPE}\n{value}: {value}\n",
        f"{value}\n",
        f"extends: {RECIPE}\n? [a, b]\n: {value}\n",
        "extends: own.yaml\n",
        f"extends: {RECIPE}\nbaselines: {{}}\ndata: {value}\n",
        f"extends: {RECIPE}\n" + "a:\n".join(" " * depth for depth in range(rng.choice((3, 2000)))) + "a: 1\n",
        f"extends: {RECIPE}\n" + "".join(f"key{number}: 1\n" for number in range(5000)),
    ))  # fmt: skip
    words = rng.choice((
        ("show", "own.yaml"),
        ("run", "own.yaml", "--out", "new"),
        ("study", "own.yaml", "--out", "new"),
    ))

    def spoil(folder: Path) -> None:
        (folder / "own.yaml").write_text(text.replace("\x00", "\\0"))

    return Case("settings files", words, spoil, ("new", "new/*"))


def recipes(rng: random.Random) -> Case:
    """A recipe of the user's own is wrong."""
    body = rng.choice((
        "def tiny(:\n",
        "import no_such_module\n",
        "from tiny_recipe import tiny as base\ndef tiny():\n    return base().model_copy(update={'seed': 'x'})\n",
        "from tiny_recipe import no_such\n",
        "def tiny():\n    raise RuntimeError('two\\nlines')\n",
        "def tiny():\n    raise SystemExit(0)\n",
        "import sys\nsys.exit(0)\n",
        "def tiny():\n    return 3\n",
        "def tiny(argument):\n    return argument\n",
        "tiny = 3\n",
        "def tiny():\n    return tiny()\n",
        "from ups.runs.settings import Run\ndef tiny():\n    return Run(seed=-1)\n",
        "from ups.runs.settings import Run\ndef tiny():\n    return Run(no_such=1)\n",
        "from ups.runs.settings import Run\ndef tiny():\n    return Run\n",
        "\x00",
        "def tiny():\n    1 / 0\n",
        "def tiny():\n    assert False\n",
        "\xff" * 20,
    ))  # fmt: skip
    function = rng.choice(("tiny", "tiny", "no_such", "", "__init__", "a:b"))

    def spoil(folder: Path) -> None:
        (folder / "own.py").write_bytes(body.encode("latin-1"))

    return Case("recipes", (rng.choice(("show", "run", "study")), f"own.py:{function}"), spoil, refused=True)


def command_lines(rng: random.Random) -> Case:
    """Words that no command expects, and paths that lead where they must not."""
    path, other = rng.choice(NAMES), rng.choice(NAMES)
    number = rng.choice(("0", "-1", "1", "1e9", "x", "999999999", "99999999999999999999", ""))
    words = rng.choice((
        ("predict", "R", "--input", "data.h5", "--output", path),
        ("predict", "R", "--input", "data.h5", "--output", path, "--force"),
        ("predict", "R", "--input", path, "--output", other),
        ("predict", path, "--input", "data.h5", "--output", "out.h5"),
        ("predict", "R", "--input", "data.h5", "--output", "out.h5", "--steps", number),
        ("predict", "R", "--input", "data.h5", "--output", "out.h5", "--start", number),
        ("predict", "R", "--input", "data.h5", "--output", "out.h5", "--members", number),
        ("predict", "R", "--input", "data.h5", "--output", "out.h5", "--stepper", path),
        ("evaluate", "R", "--data", "data.h5", "--out", path),
        ("evaluate", "R", "--data", path),
        ("evaluate", path, "--data", "data.h5"),
        ("evaluate", "R", f"{rng.choice(paths())}={rng.choice(WORDS)}"),
        ("evaluate", "R", f"num_members={rng.choice(WORDS)}"),
        ("run", RECIPE, "training.updates=1", "--out", path),
        ("run", RECIPE, "--tracker", path),
        ("run", path),
        ("show", path, other),
        ("study", path),
        ("probe", path),
        ("probe", "R", f"{rng.choice(('num_vectors', 'precision', 'num_batches', 'x'))}={rng.choice(WORDS)}"),
        ("data", "inspect", path),
        ("data", "check", path, other),
        ("data", "export", "data.h5", path, "--format", rng.choice(("well", "pdebench", "npz", "x"))),
        ("data", "export", path, other),
        ("data", "make", path, "num_trajectories=2"),
        ("data", "make", "made.h5", f"{rng.choice(MADE)}={rng.choice(WORDS)}", "num_trajectories=2"),
        (path, other),
        (),
    ))  # fmt: skip
    made = "." if "--force" not in words else f"{path}"
    return Case("command lines", words, may_write=(*FREE, made))


def files_of_data(rng: random.Random) -> Case:
    """A file of data is damaged, or holds what no solver makes."""
    change = rng.choice((*DAMAGES, *CONTENTS))
    name = "arrays.npz" if change in (npz_damage,) else "data.h5"
    seed = rng.randrange(2**31)
    what = rng.choice(READ)
    words = {
        "inspect": ("data", "inspect", name),
        "check": ("data", "check", name),
        "export": ("data", "export", name, "new.npz", "--format", "npz"),
        "predict": ("predict", "R", "--input", name, "--output", "new.h5", "--steps", "3"),
        "evaluate": ("evaluate", "R", "--data", name, "--out", "new"),
    }[what]

    def spoil(folder: Path) -> None:
        change(folder / name, random.Random(seed))

    return Case("data files", words, spoil, ("new*",))


def flip(path: Path, rng: random.Random) -> None:
    """Some bits of the file are others."""
    content = bytearray(path.read_bytes())
    end = rng.choice((min(len(content), 4096), len(content)))
    for _ in range(rng.choice((1, 8, 64))):
        content[rng.randrange(end)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    """The file ends early."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def swap(path: Path, rng: random.Random) -> None:
    """The file is something else."""
    path.write_bytes(rng.choice(TEXTS))


def npz_damage(path: Path, rng: random.Random) -> None:
    """An archive of arrays is damaged in one of the ways in which any file may be."""
    rng.choice((flip, cut, swap))(path, rng)


def bad_values(path: Path, rng: random.Random) -> None:
    """The values are no field."""
    value = rng.choice((np.nan, np.inf, -np.inf, 0.0, 1.0, 1e-30, 1e20, 3e38))
    with h5py.File(path, "r+") as file:
        stored = file["tensor"]
        where = rng.choice((slice(None), slice(0, 1), (slice(None), 3), (slice(None), 0), (slice(None), -1)))
        stored[where] = value


def bad_shape(path: Path, rng: random.Random) -> None:
    """The tensor has other axes, or another type."""
    with h5py.File(path, "r+") as file:
        values = file["tensor"][:]
        other: object = rng.choice((
            values[:1], values[:, :1], values[:, :2], values[:0], values[..., :1], values[..., :2], values[..., :7],
            values[0], values[0, 0], values[..., None], values.astype(complex), values.astype("i8"),
            values.astype("f2"), values.astype("S5"), np.float64(3.0), np.zeros((2, 3, 4, 5, 6, 7)),
            values.astype(bool),
        ))  # fmt: skip
        del file["tensor"]
        file["tensor"] = other


def bad_parameter(path: Path, rng: random.Random) -> None:
    """An attribute is of another kind, or missing."""
    value = rng.choice((
        np.nan, np.inf, -1.0, 0.0, 1e300, "abc", b"x", [0.001, 0.1], 1 + 2j, h5py.Empty("f8"), "x" * 9000, [],
        np.zeros((2, 2)), None,
    ))  # fmt: skip
    with h5py.File(path, "r+") as file:
        key = rng.choice((*file.attrs, "Nu", "boundary", "family"))
        if value is None:
            file.attrs.pop(key, None)
        else:
            file.attrs[key] = value


def bad_coordinates(path: Path, rng: random.Random) -> None:
    """The coordinates are no grid."""
    with h5py.File(path, "r+") as file:
        key = rng.choice([name for name in file if name != "tensor"])
        values = file[key][()]
        other: object = rng.choice((
            values * 0, values * np.nan, values * 1e-300, values * 1e30, -values, values[:1], values[:0], np.float64(1),
            np.sort(np.random.default_rng(0).random(np.size(values))), "abc", np.array(["a", "b"], "S1"),
            values[::-1], np.ravel([values, values]), None,
        ))  # fmt: skip
        del file[key]
        if other is not None:
            file[key] = other


def huge(path: Path, rng: random.Random) -> None:
    """The file declares more than any memory holds, or packs it small."""
    with h5py.File(path, "r+") as file:
        frames, cells = file["tensor"].shape[1:]
        del file["tensor"]
        count = rng.choice((10**6, 10**9))
        packed = {"chunks": (1000, frames, cells), "compression": "gzip", "fillvalue": 1.0}
        if rng.random() < 0.5:
            file.create_dataset("tensor", (count, frames, cells), "f4", **packed)[0] = 1.0
        else:  # a first value would make it as long as it says
            file.create_dataset("tensor", (count, frames, cells), "f4", **rng.choice(({}, packed)))


DAMAGES: tuple[Callable, ...] = (flip, flip, cut, swap, npz_damage, npz_damage)
CONTENTS: tuple[Callable, ...] = (bad_values, bad_shape, bad_parameter, bad_coordinates, huge)


def run_folders(rng: random.Random) -> Case:
    """A file of a finished run is damaged, gone or a folder."""
    seed = rng.randrange(2**31)
    words = rng.choice((
        ("evaluate", "R"),
        ("evaluate", "R", "--data", "data.h5", "--out", "new"),
        ("predict", "R", "--input", "data.h5", "--output", "new.h5", "--steps", "3"),
        ("predict", "R", "--input", "data.h5", "--output", "new.h5", "--steps", "3", "--stepper", "tuned_fno"),
        ("probe", "R", "num_vectors=1"),
        ("run", RECIPE, "--out", "R"),
    ))  # fmt: skip

    def spoil(folder: Path) -> None:
        own = random.Random(seed)
        files = sorted(
            path for path in (folder / "R").rglob("*") if path.is_file() and path.suffix not in (".png",)
        )
        path = own.choice([
            path for path in files if path.suffix in (".json", ".jsonl", ".safetensors", ".parquet")
        ])
        how = own.randrange(7)
        if how == 0:
            path.unlink()
        elif how == 1:
            path.unlink()
            path.mkdir()
        elif how == 2 and path.suffix == ".json":
            path.write_bytes(misspell(path.read_bytes(), own))
        else:
            own.choice((flip, cut, swap))(path, own)

    finished = ("R/evaluations*", "R/probes*", "new*", "R/*")
    return Case("run folders", words, spoil, finished if words[0] == "run" else finished[:-1])


def misspell(content: bytes, rng: random.Random) -> bytes:
    """One number or word of a JSON text is another."""
    import json

    tree = json.loads(content)
    node, key = tree, None
    while isinstance(node, dict | list) and node:
        parent, key = node, rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        node = parent[key]
        if rng.random() < 0.2:
            break
    if key is not None:
        parent[key] = rng.choice((
            None,
            -1,
            0,
            10**6,
            1e300,
            "x",
            "\x00",
            [],
            {},
            [1],
            "../../x",
            True,
            10**30,
        ))
    return json.dumps(tree).encode()


KINDS: dict[str, Callable[[random.Random], Case]] = {
    "settings": settings,
    "settings files": files_of_settings,
    "recipes": recipes,
    "data files": files_of_data,
    "run folders": run_folders,
    "command lines": command_lines,
}
