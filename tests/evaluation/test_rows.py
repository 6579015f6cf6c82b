import math
import os
import signal
import subprocess
import sys

import duckdb
import numpy as np
import pytest

from ups.evaluation.rows import (
    RowStore,
    all_trajectory_scores,
    query,
    read_rows,
    to_columns,
    trajectory_scores,
)
from ups.types import Row, UserError

INF, NAN = math.inf, math.nan


def rows_of(stepper, values, metric="nrmse", time=0.5):
    return [
        Row("", "", 0, "pdebench", stepper, place, metric, "u", time, value)
        for place, value in enumerate(values)
    ]


def test_parts_combine_exactly_in_the_order_of_their_names(tmp_path):
    store = RowStore(tmp_path, "run", "variant", 7)
    second, first = rows_of("b", [1.0, INF, -INF]), rows_of("a+c", [0.1, 1e-300, 2.0], time=NAN)
    store.write("2.b", to_columns(second))
    store.write("1.a+c", to_columns(first))
    columns = read_rows(store.combine())
    assert tuple(columns) == Row._fields
    assert set(columns["run"]) == {"run"}
    assert set(columns["variant"]) == {"variant"}
    assert set(columns["seed"]) == {7}
    assert columns["value"].tolist() == [0.1, 1e-300, 2.0, 1.0, INF, -INF]
    assert columns["stepper"].tolist() == ["a+c"] * 3 + ["b"] * 3
    assert np.isnan(columns["time"][:3]).all()
    assert columns["time"][3:].tolist() == [0.5] * 3


def test_nan_is_stored_as_nan_and_never_as_missing(tmp_path):
    store = RowStore(tmp_path, "run")
    store.write("part", to_columns(rows_of("a", [1.0, NAN], time=NAN)))
    path = str(store.combine())
    found = duckdb.sql(f"select count(value), count(time), avg(value) from '{path}'").fetchall()
    assert found[0][:2] == (2, 2)
    assert math.isnan(found[0][2])  # a missing value would have given 1.0


def test_a_part_written_again_replaces_itself(tmp_path):
    store = RowStore(tmp_path, "run")
    store.write("part", to_columns(rows_of("a", [1.0, 2.0])))
    store.write("part", to_columns(rows_of("a", [3.0])))
    assert read_rows(store.combine())["value"].tolist() == [3.0]
    assert read_rows(store.combine())["value"].tolist() == [3.0]


def test_part_names_may_hold_any_character(tmp_path):
    store = RowStore(tmp_path, 'it\'s "a" run')
    store.write("x/../y*[z]'", to_columns(rows_of("o'stepper", [1.0])))
    columns = read_rows(store.combine())
    assert columns["stepper"].tolist() == ["o'stepper"]
    assert columns["run"].tolist() == ['it\'s "a" run']
    assert len(list((tmp_path / "rows").iterdir())) == 1


KILLED = """
import os, sys
from pathlib import Path
from ups.evaluation import rows
from ups.types import Row
store = rows.RowStore(Path(sys.argv[1]), "run")
part = lambda value: rows.to_columns([Row("", "", 0, "p", "s", 0, "m", "u", 0.0, value)])
store.write("1", part(1.0))
store.write("2", part(2.0))
os.replace = lambda *names: os.kill(os.getpid(), 9)
store.write("3", part(3.0))
"""


def test_rows_survive_a_kill_in_the_middle_of_a_write(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, env={**os.environ})
    assert killed.returncode == -signal.SIGKILL
    store = RowStore(tmp_path, "run")
    assert read_rows(store.combine())["value"].tolist() == [1.0, 2.0]
    store.write("3", to_columns([Row("", "", 0, "p", "s", 0, "m", "u", 0.0, 3.0)]))
    assert read_rows(store.combine())["value"].tolist() == [1.0, 2.0, 3.0]


def test_scores_are_means_over_frames_per_trajectory_and_seed_and_one_infinity_stays(tmp_path):
    paths = []
    for seed in (5, 3):
        store = RowStore(tmp_path / str(seed), "run", seed=seed)
        early = rows_of("a", [seed, 2.0, INF], time=0.0) + rows_of("a", [1.0], metric="rmse")
        store.write(
            "part", to_columns(early + rows_of("a", [seed + 2.0, 4.0, 1.0], time=1.0) + rows_of("b", [1.0]))
        )
        paths.append(store.combine())
    scores = trajectory_scores(paths, "pdebench", "nrmse")
    assert scores["a"].tolist() == [[4.0, 3.0, INF], [6.0, 3.0, INF]]
    assert scores["b"].tolist() == [[1.0], [1.0]]


def test_queries_take_parameters_and_see_all_files(tmp_path):
    for name in ("one", "two"):
        RowStore(tmp_path / name, name).write("part", to_columns(rows_of("a", [1.0, 2.0])))
    paths = [RowStore(tmp_path / name, name).combine() for name in ("one", "two")]
    found = query(
        paths, "select run, count(*) as n from rows where value > ? group by run order by run", [1.5]
    )
    assert found["run"].tolist() == ["one", "two"]
    assert found["n"].tolist() == [1, 1]


def test_a_missing_file_is_the_users_fault_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"rows\.parquet: no such file"):
        read_rows(tmp_path / "rows.parquet")


def test_all_scores_at_once_are_those_of_each_pair(tiny_run):
    rows = tiny_run / "rows.parquet"
    found = all_trajectory_scores(rows)
    assert ("pdebench", "nrmse") in found
    for protocol, metric in found:
        alone = trajectory_scores(rows, protocol, metric)
        together = found[protocol, metric]
        assert list(alone) == list(together)
        assert all(np.array_equal(alone[name], together[name], equal_nan=True) for name in alone)
