"""Images from Parquet files and from folders: decoded once, then cached by content."""

from __future__ import annotations

import glob
import hashlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import numpy as np
import PIL
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from ups.config import Settings, digest
from ups.data.cache import cache_folder, cached
from ups.images.images import CIFAR10, Images, Split
from ups.progress import Progress
from ups.types import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = ("1", "L", "P", "RGB", "RGBA")
"""Pillow's modes of at most 8 bits a channel, which become RGB without loss but for the opacity."""

REPORT_EVERY = 500


class Picture(NamedTuple):
    """One encoded picture, the index of its class, and where it comes from, for messages."""

    where: str
    encoded: bytes
    label: int


class ParquetImages(Settings):
    """Images in Parquet files `<split>-*.parquet`, as Hugging Face writes them.

    A column holds a struct with the `bytes` of a PNG or JPEG file, another the index of the class.
    """

    kind: Literal["parquet"] = "parquet"
    folder: Path
    """Where train-*.parquet and test-*.parquet are."""
    image_column: str = "img"
    """The column of the pictures."""
    label_column: str = "label"
    """The column of the classes, whole numbers."""
    name: str = "CIFAR-10"
    """What the images are called beside the numbers."""
    classes: tuple[str, ...] = CIFAR10
    """The names of the classes, in the order of their numbers."""
    size: PositiveInt = 32
    """Height and width that the images must have."""

    def load(self, split: Split, cache_dir: Path | None = None, progress: Progress | None = None) -> Images:
        """Return one split, from the cache if the same bytes were decoded before.

        Raises:
            UserError: a file is missing or damaged, a column is missing or of another type, or a row is at fault.
        """
        files = sorted(self.folder.glob(f"{split}-*.parquet"))
        if not files:
            raise UserError(
                f"{self.folder}: no {split}-*.parquet there; give the folder of the Parquet files"
            )
        pictures = [picture for path in files for picture in self._rows(path)]
        return _decoded(pictures, self.name, self.classes, self.size, cache_dir, progress)

    def _rows(self, path: Path) -> Iterator[Picture]:
        image, label = _quoted(self.image_column), _quoted(self.label_column)
        source = [glob.escape(str(path))]  # DuckDB takes a path for a pattern
        try:
            with duckdb.connect() as connection:
                described = connection.execute("describe select * from read_parquet(?)", source).fetchall()
                self._check_columns(path, {name: kind for name, kind, *_ in described})
                rows = connection.execute(
                    f"select struct_extract({image}, 'bytes'), {label} from read_parquet(?)", source
                ).fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: damaged or not a Parquet file, fetch it again: {reason}") from None
        for row, (encoded, number) in enumerate(rows):
            where = f"{path}, row {row}"
            if encoded is None:
                raise UserError(f"{where}: no picture")
            if number is None or not 0 <= number < len(self.classes):
                count = len(self.classes)
                raise UserError(f"{where}: label {number}, but there are {count} classes: set data.classes")
            yield Picture(where, encoded, number)

    def _check_columns(self, path: Path, columns: dict[str, str]) -> None:
        for setting, column in (("image_column", self.image_column), ("label_column", self.label_column)):
            if column not in columns:
                there = ", ".join(columns)
                raise UserError(f"{path}: no column {column}; there are {there}: set data.{setting}")
        kind = columns[self.image_column]
        if not (kind.startswith("STRUCT") and "bytes BLOB" in kind.replace('"', "")):
            raise UserError(f"{path}: column {self.image_column} is {kind}, expected a struct with bytes")
        kind = columns[self.label_column]
        if kind.removeprefix("U") not in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
            raise UserError(f"{path}: column {self.label_column} is {kind}, expected whole numbers")


class FolderImages(Settings):
    """PNG and JPEG files in a folder for each class: `<folder>/<split>/<class>/*.png`."""

    kind: Literal["folder"] = "folder"
    folder: Path
    """Holds the folders train and test, these one folder for each class."""
    size: PositiveInt = 32
    """Height and width that the images must have."""

    def load(self, split: Split, cache_dir: Path | None = None, progress: Progress | None = None) -> Images:
        """Return one split, from the cache if the same bytes were decoded before.

        The classes are the folders of the training split, in the order of their names.

        Raises:
            UserError: a folder is missing or empty, the test has a class of its own, or a file is at fault.
        """
        classes = tuple(path.name for path in _folders(self.folder / "train"))
        pictures = []
        for folder in _folders(self.folder / split):
            if folder.name not in classes:
                raise UserError(f"{folder}: no such class in {self.folder / 'train'}")
            files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
            if not files:
                raise UserError(f"{folder}: no PNG or JPEG files there")
            label = classes.index(folder.name)
            pictures += [Picture(str(path), path.read_bytes(), label) for path in files]
        return _decoded(pictures, self.folder.resolve().name, classes, self.size, cache_dir, progress)


def _folders(parent: Path) -> list[Path]:
    found = sorted(path for path in parent.glob("*") if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise UserError(
            f"{parent}: no class folders; images stand as FOLDER/train/CLASS/*.png, test likewise"
        )
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _decoded(
    pictures: list[Picture],
    name: str,
    classes: tuple[str, ...],
    size: int,
    cache_dir: Path | None,
    progress: Progress | None,
) -> Images:
    if not pictures:
        raise UserError(f"{name}: no images in the files")
    content = hashlib.sha256()
    for picture in pictures:
        content.update(hashlib.sha256(picture.encoded).digest())
    key = digest([content.hexdigest(), size, PIL.__version__])  # decoders differ by a gray level
    path = cache_folder(cache_dir) / "images" / f"{key}.safetensors"
    pixels = cached(path, lambda: {"pixels": _decode(pictures, size, progress)})["pixels"]
    labels = torch.tensor([picture.label for picture in pictures])
    lossy = any(picture.encoded.startswith(b"\xff\xd8") for picture in pictures)
    return Images(pixels, labels, classes, f"{name}, JPEG re-encoded" if lossy else name)


def _decode(pictures: list[Picture], size: int, progress: Progress | None) -> Tensor:
    pixels = np.empty((len(pictures), size, size, 3), np.uint8)
    for index, picture in enumerate(pictures):
        pixels[index] = _pixels(picture, size)
        if progress and index % REPORT_EVERY == 0:
            progress(index / len(pictures), f"decoding image {index} of {len(pictures)}")
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _pixels(picture: Picture, size: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(picture.encoded), formats=("PNG", "JPEG")) as image:
            if image.size != (size, size):
                width, height = image.size
                raise UserError(
                    f"{picture.where}: image of {height} x {width} pixels, expected {size} x {size}: set data.size"
                )
            if image.mode not in MODES:
                raise UserError(f"{picture.where}: image of mode {image.mode}, expected 8 bits a channel")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        reason = "not a PNG or JPEG file" if isinstance(error, PIL.UnidentifiedImageError) else error
        raise UserError(f"{picture.where}: undecodable image: {reason}") from None
