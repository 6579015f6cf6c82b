"""Several seeds of one recipe as one table: errors with intervals over seeds and test trajectories.

    python benchmarks/seeds.py runs/seed0 runs/seed1 runs/seed2

The runs must have been evaluated on the same trajectories. Seeds and trajectories are resampled together (paired
hierarchical bootstrap, `ups.statistics.bootstrap`); a rung that only some runs have is shown with its own seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ups import record
from ups.evaluation.protocols import PROTOCOLS
from ups.evaluation.rows import query, trajectory_scores
from ups.statistics.bootstrap import bootstrap_mean, verdict


def main() -> None:
    """Print a table for each protocol."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders")
    runs = parser.parse_args().runs
    records = [record.read(run) for run in runs]
    digests = {made["data"]["digest"] for made in records}
    if len(digests) > 1:
        raise SystemExit("the runs were made from different data or splits; nothing to pair")
    machine = records[0]["machine"]
    seeds = [made["seed"] for made in records]
    print(f"{len(runs)} runs, seeds {seeds}, {machine['processor']}, threads {machine['threads']}")
    for protocol in PROTOCOLS:
        print(f"\n{protocol.name}: {protocol.primary}, {protocol.description}")
        show(runs, protocol.name, protocol.primary)


def show(runs: list[Path], protocol: str, metric: str) -> None:
    """Print the errors of one protocol, best last, and what ours buys against each other rung on shared seeds."""
    scores = [trajectory_scores(run / "rows.parquet", protocol, metric) for run in runs]
    costs = [_seconds(run) for run in runs]
    names = {name for found in scores for name in found if not name.startswith("codec")}
    values = {name: {k: found[name][0] for k, found in enumerate(scores) if name in found} for name in names}
    ours = values.get("operator", {})
    for name in sorted(names, key=lambda name: -np.mean(list(values[name].values()))):
        seeds = sorted(values[name])
        mean, low, high = bootstrap_mean(np.stack([values[name][k] for k in seeds]))
        seconds = np.mean([costs[k].get(name, 0.0) for k in seeds])
        line = f"  {name:22} {mean:.5f} [{low:.5f}, {high:.5f}]  {len(seeds)} seeds  {seconds:6.0f} s of training"
        shared = [k for k in seeds if k in ours]
        if name != "operator" and shared:
            pair = [np.stack([one[k] for k in shared]) for one in (ours, values[name])]
            line += f"  operator {verdict(*pair).text}"
        print(line)


def _seconds(run: Path) -> dict[str, float]:
    found = query(run / "rows.parquet", "select stepper, value from rows where metric = 'training_seconds'")
    return dict(zip(found["stepper"], found["value"], strict=True))


if __name__ == "__main__":
    main()
