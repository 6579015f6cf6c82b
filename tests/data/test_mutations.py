"""Two hundred mutations of sound files: each reads to the same numbers, or is refused in one short line."""

import random
import resource

import h5py
import numpy as np
import pytest
import torch
from data_files import on_plane

from ups.data.check import check
from ups.data.find import source_for
from ups.data.inspect import inspect
from ups.data.pdebench import write_pdebench
from ups.data.well import write_well
from ups.types import UserError

NUM_MUTATIONS = 100
STRANGE = [
    b"words",
    "words\nand more",
    np.nan,
    -np.inf,
    1e300,
    -3,
    0,
    [1.0, 2.0],
    1 + 2j,
    h5py.Empty("f8"),
    [],
    ["a", "b", "c", "d"],
    np.zeros((2, 2)),
    "x" * 5000,
    '{"each": [], "axes": {}}',
]


def names(file):
    """Every group and dataset of a file."""
    found = []
    file.visit(found.append)
    return sorted(found)


def holders(file):
    """Everything that has attributes."""
    return [(name, key) for name in ["/", *names(file)] for key in sorted(file[name].attrs)]


def drop_object(file, rng):
    del file[rng.choice(names(file))]


def rename_object(file, rng):
    name = rng.choice(names(file))
    file.move(name, f"{name}{rng.choice(['2', ' ', chr(0x1F300)])}")


def drop_attribute(file, rng):
    name, key = rng.choice(holders(file))
    del file[name].attrs[key]


def change_attribute(file, rng):
    name, key = rng.choice(holders(file))
    file[name].attrs[key] = rng.choice(STRANGE)


def datasets(file):
    return [name for name in names(file) if isinstance(file[name], h5py.Dataset)]


def replace(file, name, value, **options):
    attributes = dict(file[name].attrs) if name in file else {}
    del file[name]
    if value is not None:
        file[name] = value
    else:
        file.create_dataset(name, **options)
    file[name].attrs.update(attributes)


def change_type(file, rng):
    name = rng.choice(datasets(file))
    shape = file[name].shape
    kind = rng.choice([
        "S3",
        "c16",
        "i8",
        "?",
        "f2",
        h5py.string_dtype(),
        [("a", "f4"), ("b", "f4")],
        h5py.ref_dtype,
    ])
    values = file[name][()]
    replace(file, name, None, shape=shape, dtype=kind)
    if kind in ("i8", "?", "f2"):
        file[name][...] = values.astype(kind)


def change_shape(file, rng):
    name = rng.choice(datasets(file))
    values = file[name][()]
    changes = [
        lambda v: np.asarray(v).T,
        lambda v: np.asarray(v)[None],
        lambda v: np.asarray(v)[..., None],
        lambda v: np.asarray(v).ravel(),
        lambda v: np.asarray(v).ravel()[:0],
        lambda v: np.asarray(v)[:-1] if np.ndim(v) else np.zeros((3, 3)),
        lambda v: np.repeat(v, 2),
        lambda v: h5py.Empty("f4"),
    ]
    replace(file, name, rng.choice(changes)(values))


def change_values(file, rng):
    name = rng.choice([name for name in datasets(file) if file[name].dtype.kind == "f" and file[name].shape])
    values = file[name][()]
    values.reshape(-1)[rng.randrange(values.size)] = rng.choice([np.nan, np.inf, -np.inf])
    file[name][...] = values


def declare_much(file, rng):
    name = rng.choice(datasets(file))
    shape = (10**9, *file[name].shape[1:])
    replace(file, name, None, shape=shape, dtype="f4", chunks=tuple(min(n, 8) for n in shape))


def link(file, rng):
    name = rng.choice(names(file))
    del file[name]
    file[name] = rng.choice([
        h5py.ExternalLink("/etc/passwd", "/"),
        h5py.ExternalLink("other.h5", "/u"),
        h5py.SoftLink(f"/{name}"),
        h5py.SoftLink("/nowhere"),
    ])


INSIDE = [
    drop_object,
    rename_object,
    drop_attribute,
    change_attribute,
    change_type,
    change_shape,
    change_values,
    declare_much,
    link,
]


def truncated(content, rng):
    return content[: rng.randrange(len(content))]


def flipped(content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 4, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flipped_head(content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 4])):
        changed[rng.randrange(min(len(changed), 4096))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def empty(content, rng):
    return b""


def longer(content, rng):
    return content + bytes(rng.randrange(1, 999))


OUTSIDE = [truncated, flipped, flipped_head, empty, longer]


def pdebench(path, data):
    write_pdebench(path, data.values, data.fields, data.params, constants=data.constants)


def mutate(path, content, number):
    """Write one mutation; say whether values that are read may differ from the sound ones."""
    rng = random.Random(number)
    kind = rng.choice([*INSIDE, *INSIDE, *OUTSIDE])
    if kind in OUTSIDE:
        path.write_bytes(kind(content, rng))
        return kind.__name__, kind in (flipped, flipped_head)
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        kind(file, rng)
    return kind.__name__, kind is change_type


def refusal(path):
    """Use a file in every way; return the line that refuses it, or what was read."""
    try:
        source = source_for(path)
        inspect(source.layouts()[0])
        check([source])
        return source.load(cache_dir=path.parent / "cache")
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("write", [write_well, pdebench])
@pytest.mark.filterwarnings("error")
def test_a_mutated_file_reads_the_same_or_is_refused_in_one_line(tmp_path, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = on_plane()
    write(tmp_path / "sound.h5", data)
    content = (tmp_path / "sound.h5").read_bytes()
    path, refused = tmp_path / "a.h5", 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(NUM_MUTATIONS):
        kind, may_differ = mutate(path, content, number)
        found = refusal(path)
        if isinstance(found, str):
            refused += 1
            assert "\n" not in found, (number, kind)
            assert len(found) - len(str(path)) <= 300, (number, kind, found)
            assert "Type-check" not in found, (number, kind, found)
        elif not may_differ:
            assert torch.equal(found.values, data.values), (number, kind)
    assert refused > NUM_MUTATIONS / 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1e6  # kilobytes: a gigabyte
