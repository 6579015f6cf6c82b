"""Are the numbers that the documents quote those of the rows? `python benchmarks/quoted.py RUNS [DOCUMENT ...]`.

A table whose numbers a command makes stands under a mark that says which run, protocol, metric and column:

    <!-- rows: burgers.quick pdebench nrmse 1 -->

The first cell of a line names the rung, column 1 is the next. A number may be followed by its interval in brackets.
It is right if the mean over the test trajectories (and seeds), rounded to as many digits, is the number.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ups.evaluation.rows import trajectory_scores

MARK = re.compile(r"<!-- rows: (\S+) (\S+) (\S+) (\d+) -->")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Quote(NamedTuple):
    """One number of a document: where it stands, and which rows should give it."""

    where: str
    run: str
    protocol: str
    metric: str
    rung: str
    number: str


def quotes(document: Path) -> Iterator[Quote]:
    """Yield the numbers of every marked table of a document."""
    marks: list[tuple[str, ...]] = []
    in_table = False
    for place, line in enumerate(document.read_text().splitlines(), 1):
        if found := MARK.search(line):
            marks, in_table = [*([] if in_table else marks), found.groups()], False
        elif line.startswith("|"):
            in_table = True
            cells = [cell.strip().strip("*`") for cell in line.strip("|").split("|")]
            for run, protocol, metric, column in marks:
                if (number := NUMBER.match(cells[int(column)])) and not set(cells[0]) <= set("-: "):
                    yield Quote(f"{document}:{place}", run, protocol, metric, cells[0], number[0])
        elif in_table:
            marks, in_table = [], False


def wrong(quote: Quote, runs: Path) -> str | None:
    """Return what is wrong with a quoted number, or None."""
    rows = runs / quote.run / "rows.parquet"
    if not rows.exists():
        return f"{quote.where}: no {rows}; run `ups run {quote.run}`"
    scores = trajectory_scores(rows, quote.protocol, quote.metric)
    if quote.rung not in scores:
        return f"{quote.where}: the run has no rung '{quote.rung}' (it has {', '.join(sorted(scores))})"
    mean = float(scores[quote.rung].mean())
    digits = len(quote.number.partition(".")[2].partition("e")[0])
    exact = f"{mean:.{digits}e}" if "e" in quote.number else f"{mean:.{digits}f}"
    if float(exact) == float(quote.number):
        return None
    return f"{quote.where}: {quote.rung} has {quote.metric} {exact}, not {quote.number} ({quote.run}, {quote.protocol})"


def main() -> int:
    """Check the documents that are named, or README and docs."""
    runs, *named = map(Path, sys.argv[1:] or ["runs"])
    documents = named or [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]
    checked = [quote for document in documents for quote in quotes(document)]
    faults = [fault for quote in checked if (fault := wrong(quote, runs))]
    sys.stdout.write(
        "".join(f"{fault}\n" for fault in faults) + f"{len(checked)} numbers, {len(faults)} wrong\n"
    )
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
