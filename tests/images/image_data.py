"""Pictures with known pixels, in the layouts in which people have them, and the real ones where they are at hand."""

import io
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="the CIFAR-10 files are not there")


def pixels(num=6, size=32, seed=0):
    """Random bytes [image height width channel]."""
    return np.random.default_rng(seed).integers(0, 256, (num, size, size, 3), dtype=np.uint8)


def encoded(picture, form="PNG"):
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, form)
    return buffer.getvalue()


def write_parquet(path, pictures, labels, image="img", label="label", kinds=("", "bigint")):
    kind = kinds[0] or "struct(bytes blob, path varchar)"
    image = image.replace('"', '""')
    with duckdb.connect() as connection:
        connection.execute(f'create table t ("{image}" {kind}, "{label}" {kinds[1]})')
        rows = [
            (None if picture is None else {"bytes": picture, "path": f"{row}.png"}, number)
            for row, (picture, number) in enumerate(zip(pictures, labels, strict=True))
        ]
        if rows and not kinds[0]:
            connection.executemany("insert into t values (?, ?)", rows)
        connection.execute("copy t to $1 (format parquet)", [str(path)])
    return path
