"""The table of rows on disk: parts are written as they come, survive a crash, and become one `rows.parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import duckdb
import numpy as np
from jaxtyping import Float

from ups.files import written_whole
from ups.types import Row, UserError

Columns = dict[str, np.ndarray]
"""Rows by column: equally long arrays, text as objects. A million rows are a dozen arrays, not a million tuples."""


@dataclass(frozen=True)
class RowStore:
    """Writes the rows of one run: parts to `<run_dir>/rows/`, all of them at the end to `<run_dir>/rows.parquet`.

    `run`, `variant` and `seed` are stamped on every row.
    """

    run_dir: Path
    run: str
    variant: str = ""
    seed: int = 0

    def write(self, part: str, columns: Columns) -> Path:
        """Write the rows of one part, at once or not at all; a part of the same name is replaced.

        `columns` holds the columns of `Row` but those of the run. NaN stays NaN, in `time` as in `value`.
        """
        folder = self.run_dir / "rows"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{quote(part, safe='+ ')}.parquet"
        # DuckDB takes NaN in an array for a missing value, and a mean would then pass over it in silence.
        _write(
            path,
            """select $run as run, $variant as variant, $seed::bigint as seed, protocol, stepper, trajectory, metric,
                      field, coalesce(time, 'nan'::double) as time, coalesce(value, 'nan'::double) as value
               from columns""",
            {"run": self.run, "variant": self.variant, "seed": self.seed},
            columns,
        )
        return path

    def combine(self) -> Path:
        """Join all parts, in the order of their names, into `rows.parquet` and return its path; the parts stay."""
        path = self.run_dir / "rows.parquet"
        parts = [str(part) for part in sorted((self.run_dir / "rows").glob("*.parquet"))]
        _write(path, "select * from read_parquet($parts)", {"parts": parts})
        return path


def read_rows(path: Path) -> Columns:
    """Return all rows of a file as columns.

    Raises:
        UserError: the file does not exist.
    """
    return query(path, "select * from rows")


def query(paths: Path | Sequence[Path], sql: str, parameters: Sequence[Any] = ()) -> Columns:
    """Run SQL over the table `rows`, the union of one or more files of rows, and return the columns it gives.

    Raises:
        UserError: a file does not exist.
    """
    paths = [paths] if isinstance(paths, Path) else list(paths)
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file of rows; a finished run has one")
    with duckdb.connect() as connection:
        connection.read_parquet([str(path) for path in paths]).create_view("rows")
        return cast(Columns, connection.execute(sql, list(parameters)).fetchnumpy())


def trajectory_scores(
    paths: Path | Sequence[Path], protocol: str, metric: str
) -> dict[str, Float[np.ndarray, "seed trajectory"]]:
    """Return a metric per stepper, seed and trajectory: the mean over frames and fields, infinite if one value is.

    Seeds and trajectories are in ascending order, so that the arrays of two steppers of one ladder are paired.
    """
    found = query(
        paths,
        """select stepper, seed, trajectory, avg(value) as value from rows
           where protocol = ? and metric = ? group by all order by all""",
        [protocol, metric],
    )
    return _by_stepper(found)


def all_trajectory_scores(
    paths: Path | Sequence[Path],
) -> dict[tuple[str, str], dict[str, Float[np.ndarray, "seed trajectory"]]]:
    """Return `trajectory_scores` for every protocol and metric that has rows, by one reading of the files."""
    found = query(
        paths,
        """select protocol, metric, stepper, seed, trajectory, avg(value) as value from rows
           group by all order by all""",
    )
    pairs = list(zip(found["protocol"], found["metric"], strict=True))
    starts = [place for place, pair in enumerate(pairs) if place == 0 or pair != pairs[place - 1]]
    parts = zip(starts, [*starts[1:], len(pairs)], strict=True)
    return {
        pairs[start]: _by_stepper({name: column[start:end] for name, column in found.items()})
        for start, end in parts
    }


def _by_stepper(found: Columns) -> dict[str, Float[np.ndarray, "seed trajectory"]]:
    scores = {}
    for stepper in dict.fromkeys(found["stepper"]):
        mine = found["stepper"] == stepper
        scores[stepper] = found["value"][mine].reshape(len(np.unique(found["seed"][mine])), -1)
    return scores


def to_columns(rows: Iterable[Row]) -> Columns:
    """Return rows as columns; for the few rows that are made one by one."""
    columns = zip(Row._fields, zip(*rows, strict=True), strict=True)
    return {
        name: np.array(values, dtype=object if isinstance(values[0], str) else None)
        for name, values in columns
    }


def _write(path: Path, sql: str, parameters: dict[str, Any], columns: Columns | None = None) -> None:
    """Write a query's result through a temporary file; SQL sees the argument `columns` as a table."""
    try:
        with written_whole(path) as temporary, duckdb.connect() as connection:
            connection.sql(sql, params=parameters).write_parquet(str(temporary), compression="zstd")
    except duckdb.IOException as error:
        raise UserError(f"{path}: cannot write: {' '.join(str(error).split())}") from None
