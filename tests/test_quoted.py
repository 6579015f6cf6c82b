"""Documents quote the rows: the check of `benchmarks/quoted.py` on a tiny run, and that README marks what it quotes."""

import importlib.util
from pathlib import Path

import pytest

from ups.evaluation.rows import trajectory_scores

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("quoted", ROOT / "benchmarks" / "quoted.py")
quoted = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quoted)


@pytest.fixture
def document(tiny_run, tmp_path):
    scores = trajectory_scores(tiny_run / "rows.parquet", "pdebench", "nrmse")
    table = "".join(f"| **{name}** | {scores[name].mean():.4f} [0, 1] | x |\n" for name in sorted(scores))
    path = tmp_path / "page.md"
    path.write_text(
        f"Text\n<!-- rows: tiny pdebench nrmse 1 -->\n| rung | nRMSE | |\n|---|---|---|\n{table}\nText 3\n"
    )
    return path, scores


def faults(path, runs):
    return [fault for quote in quoted.quotes(path) if (fault := quoted.wrong(quote, runs))]


def test_numbers_of_the_rows_are_right_and_every_line_is_read(document, tiny_run):
    path, scores = document
    assert {quote.rung for quote in quoted.quotes(path)} == set(scores)
    assert faults(path, tiny_run.parent) == []


def test_one_other_digit_is_found_and_named(document, tiny_run):
    path, scores = document
    right = f"{scores['operator'].mean():.4f}"
    other = right[:-1] + str((int(right[-1]) + 1) % 10)
    path.write_text(path.read_text().replace(f"**operator** | {right}", f"**operator** | {other}"))
    (fault,) = faults(path, tiny_run.parent)
    assert f"operator has nrmse {right}, not {other}" in fault


def test_a_rung_or_a_run_that_is_not_there_is_found(document, tiny_run, tmp_path):
    path, _ = document
    path.write_text(path.read_text().replace("**operator**", "**oprator**"))
    assert any("no rung 'oprator'" in fault for fault in faults(path, tiny_run.parent))
    assert all("no " in fault for fault in faults(path, tmp_path))


def test_the_readme_marks_the_table_of_the_quick_recipe():
    assert any(quote.run == "burgers.quick" for quote in quoted.quotes(ROOT / "README.md"))
