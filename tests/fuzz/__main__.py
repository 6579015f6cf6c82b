"""`PYTHONPATH=tests python -m fuzz --minutes 60`: hostile inputs for an hour; exit 1 if one was taken amiss."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz.campaign import campaign
from fuzz.cases import KINDS
from fuzz.property import Case, Outcome


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="other seeds are other inputs")
    parser.add_argument("--kind", action="append", choices=list(KINDS), default=[])
    parser.add_argument("--home", type=Path, help="where to work; what is there is used again")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="fuzz-"))

    def say(number: int, case: Case, outcome: Outcome) -> None:
        if outcome.fault:
            print(f"{given.seed}/{number} [{case.kind}] ups {shown(case)}\n    {outcome.fault}", flush=True)

    counts, faults = campaign(home, given.seed, 60 * given.minutes, tuple(given.kind), say)
    print(f"{sum(counts.values())} inputs, {len(faults)} taken amiss; " +
          ", ".join(f"{kind}: {count}" for kind, count in counts.items()))  # fmt: skip
    return int(bool(faults))


def shown(case: Case) -> str:
    """Return the words of a case, cut where they are long."""
    return " ".join(repr(word if len(word) < 120 else f"{word[:120]}...")[1:-1] for word in case.words)


if __name__ == "__main__":
    sys.exit(main())
