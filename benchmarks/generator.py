"""What a Burgers trajectory costs, and how far it is from the truth: our generator beside PDEBench's.

    python benchmarks/generator.py [--pdebench 1D_Burgers_Sols_Nu0.001.hdf5] [--num 1000] [--refine 1]

CPU seconds (`time.process_time`, one thread) per trajectory of 1024 cells and 201 frames to t = 2 in float64,
initial frames included; the error is relative L2 per frame against Cole-Hopf, cell averages to cell averages,
over 12 trajectories and 14 frames from t = 0.05 to 2. Given a file in PDEBench's format (1024 cells, 201 frames),
both solutions start from its initial frames.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import h5py
import torch

from ups.solvers import exact
from ups.solvers.equations import Burgers
from ups.solvers.initial import pdebench_like
from ups.solvers.solve import solve
from ups.streams import stream

NU, NUM_CELLS, EXTENT = 0.001, 1024, 1.0
TIMES = torch.linspace(0, 2, 201, dtype=torch.float64)
JUDGED = torch.arange(5, 201, 15)  # frames that are compared with the exact solution
BATCH = 250  # trajectories held at once: 0.4 GB

# CPU seconds per trajectory of PDEBench's own generator at nu = 0.001, on the same grid and frames: measured on
# one core of the same kind of machine.
PDEBENCH_SECONDS = 0.55


def main() -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--pdebench", type=Path, help="PDEBench's 1D_Burgers_Sols_Nu0.001.hdf5, or a part of it"
    )
    parser.add_argument("--num", type=int, default=1000, help="trajectories that are timed")
    parser.add_argument("--refine", type=int, default=1, help="solve on this many times more cells")
    options = parser.parse_args()
    torch.set_num_threads(1)

    print(
        f"Burgers, nu = {NU}, {NUM_CELLS} cells, {len(TIMES)} frames to t = 2, float64, refine = {options.refine}"
    )
    print(f"torch {torch.__version__}, {platform.machine()}, one thread")
    seconds = cpu_seconds(options.num, options.refine)
    print(
        f"cost    ours      {seconds:.4f} CPU s per trajectory ({options.num} trajectories, batches of {BATCH})"
    )
    print(f"        PDEBench  {PDEBENCH_SECONDS:.4f}, {PDEBENCH_SECONDS / seconds:.0f} times ours")

    if options.pdebench is None:
        theirs = None
        initial = pdebench_like(12, NUM_CELLS, EXTENT, stream(0, "benchmark/error"))
        print("error   on 12 random initial frames of ours")
    else:
        with h5py.File(options.pdebench) as file:
            theirs = torch.from_numpy(file["tensor"][:12]).double()
        initial = theirs[:, :1]
        print(f"error   on the first {len(theirs)} initial frames of {options.pdebench.name}")
    ours = solve(Burgers(NU), initial, TIMES, EXTENT, options.refine)[:, :, 0]
    truth = exact.burgers(initial[:, 0], TIMES[JUDGED], NU, EXTENT)
    describe("ours      ", ours[:, JUDGED], truth)
    if theirs is not None:
        describe("PDEBench  ", theirs[:, JUDGED], truth)
        between = relative(ours[:, 1:], theirs[:, 1:])
        print(f"        ours to PDEBench, all frames: mean {between.mean():.2e}, largest {between.max():.2e}")


def cpu_seconds(num: int, refine: int) -> float:
    """Return the CPU seconds per trajectory of drawing and solving `num` trajectories."""
    start = time.process_time()
    for first in range(0, num, BATCH):
        count = min(BATCH, num - first)
        initial = pdebench_like(count, NUM_CELLS, EXTENT, stream(0, "benchmark", first))
        solve(Burgers(NU), initial, TIMES, EXTENT, refine)
    return (time.process_time() - start) / num


def relative(solution: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the relative L2 error of every frame."""
    return (solution - truth).norm(dim=-1) / truth.norm(dim=-1)


def describe(name: str, solution: torch.Tensor, truth: torch.Tensor) -> None:
    """Print the distribution of the error over trajectories and frames."""
    error = relative(solution, truth)
    spread = f"median {error.median():.2e}, {error.min():.1e} to {error.max():.1e}"
    print(f"        {name}mean {error.mean():.2e}, {spread}")


if __name__ == "__main__":
    main()
