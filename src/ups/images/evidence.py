"""The evidence of a run of the image bench, read from its folder: distances, losses, curvature, pictures."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ups.evaluation.rows import query
from ups.record import ImageRecord
from ups.reports.run_folder import RunFolder
from ups.types import UserError

ANCHORS = ("train", "blurred", "mean image", "noise")


class Distance(NamedTuple):
    """One line of the table of distances: an anchor, or a point of the sweep with its calls."""

    name: str
    sampler: str
    num_steps: int
    weights: str
    num_calls: float
    frechet: float
    kid: float
    kid_error: float


class Probed(NamedTuple):
    """One line of the table of curvature: the figures of one kind of weights under one objective."""

    objective: str
    weights: str
    figures: dict[str, float]


@dataclass(frozen=True)
class ImageEvidence:
    """What the files of a run folder say."""

    run: RunFolder

    @property
    def record(self) -> ImageRecord:
        """The record of the run.

        Raises:
            UserError: the run is of another bench.
        """
        if not isinstance(self.run.record, ImageRecord):
            raise UserError(f"{self.run.path}: not a run of the image bench")
        return self.run.record

    @cached_property
    def protocol(self) -> str:
        """The protocol of the sweep: features and both counts."""
        found = query(self.run.rows, "select distinct protocol from rows where metric = 'num_calls'")
        return str(found["protocol"][0])

    @cached_property
    def num_samples(self) -> str:
        """How many images each distance is measured with, as the protocol says."""
        return self.protocol.rpartition(", ")[2].partition(" against ")[0]

    @cached_property
    def frechet(self) -> str:
        """The name of the Frechet distance: "fid" on Inception features, and on those only."""
        found = query(self.run.rows, "select distinct metric from rows where metric in ('fid', 'frechet')")
        return str(found["metric"][0])

    @cached_property
    def distances(self) -> list[Distance]:
        """The anchors, then the sweep in the order of sampler, steps and weights."""
        found = query(
            self.run.rows,
            "select stepper, metric, value from rows where protocol = ? and trajectory = -1",
            [self.protocol],
        )
        table: dict[str, dict[str, float]] = {}
        for stepper, metric, value in zip(*found.values(), strict=True):
            table.setdefault(stepper, {})[metric] = float(value)
        lines = []
        for name, values in table.items():
            sampler, steps, weights = ("", "0", "") if name in ANCHORS else name.split(" ")
            lines.append(
                Distance(
                    name,
                    sampler,
                    int(steps),
                    weights,
                    values.get("num_calls", 0.0),
                    values[self.frechet],
                    values["kid"],
                    values["kid_standard_error"],
                )
            )
        anchors = sorted(
            (each for each in lines if not each.sampler), key=lambda each: ANCHORS.index(each.name)
        )
        points = sorted(
            (each for each in lines if each.sampler),
            key=lambda each: (each.weights, each.sampler, each.num_steps),
        )
        return [*anchors, *points]

    @cached_property
    def anchors(self) -> dict[str, Distance]:
        """The anchors by name."""
        return {each.name: each for each in self.distances if not each.sampler}

    @cached_property
    def best(self) -> Distance:
        """The point of the sweep with the smallest Frechet distance."""
        return min((each for each in self.distances if each.sampler), key=lambda each: each.frechet)

    @cached_property
    def setbacks(self) -> dict[str, list[tuple[int, int]]]:
        """Where more steps are worse, for every sampler with averaged weights: pairs (fewer steps, more steps).

        Worse is a kernel distance that is larger by more than two standard errors of the difference; both points
        start from the same noise, which makes the true error smaller.
        """
        found: dict[str, list[tuple[int, int]]] = {}
        points = [each for each in self.distances if each.weights == "ema"]
        for one in points:
            pairs = found.setdefault(one.sampler, [])
            for other in points:
                if other.sampler == one.sampler and other.num_steps > one.num_steps:
                    error = math.hypot(one.kid_error, other.kid_error)
                    if other.kid > one.kid + 2.0 * error:
                        pairs.append((one.num_steps, other.num_steps))
        return found

    @cached_property
    def bias(self) -> dict[str, float]:
        """The Frechet distance of two halves of the test images, by protocol."""
        found = query(
            self.run.rows,
            "select protocol, value from rows where metric = 'frechet_bias' order by value desc",
        )
        return {str(key): float(value) for key, value in zip(*found.values(), strict=True)}

    @cached_property
    def probed(self) -> list[Probed]:
        """The curvature under every objective, with every kind of weights."""
        found = query(
            self.run.rows,
            """select protocol, stepper, metric, avg(value) as value from rows
               where protocol like 'curvature, %' and metric != 'level_trace' group by all order by all""",
        )
        table: dict[tuple[str, str], dict[str, float]] = {}
        for protocol, weights, metric, value in zip(*found.values(), strict=True):
            key = (protocol.removeprefix("curvature, "), weights)
            table.setdefault(key, {})[metric] = float(value)
        order = list(self.record.weighting["mean_weight"])
        return [Probed(*key, table[key]) for key in sorted(table, key=lambda k: (order.index(k[0]), k[1]))]

    @cached_property
    def probe_hash(self) -> str:
        """The hash of the frozen set that was probed with: that of all objectives and weights."""
        return json.loads((self.run.path / "curvature.json").read_text())[0]["probe_hash"]

    @cached_property
    def level_traces(self) -> dict[tuple[str, str], dict[str, float]]:
        """The trace on each bin of the time, by objective and weights."""
        found = query(
            self.run.rows,
            """select protocol, stepper, field, avg(value) as value from rows
               where metric = 'level_trace' group by all order by all""",
        )
        table: dict[tuple[str, str], dict[str, float]] = {}
        for protocol, weights, level, value in zip(*found.values(), strict=True):
            key = (protocol.removeprefix("curvature, "), weights)
            table.setdefault(key, {})[level] = float(value)
        return table

    @cached_property
    def losses(self) -> dict[tuple[str, str], dict[str, float]]:
        """The loss of the test images by (weights, metric), for each level from much noise to little."""
        found = query(
            self.run.rows, "select stepper, metric, field, value from rows where protocol = 'denoising'"
        )
        table: dict[tuple[str, str], dict[str, float]] = {}
        for weights, metric, level, value in zip(*found.values(), strict=True):
            table.setdefault((weights, metric), {})[level.removeprefix("logSNR ")] = float(value)
        return {
            key: dict(sorted(levels.items(), key=lambda item: float(item[0].split(" ")[0])))
            for key, levels in table.items()
        }

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The pictures of samples.npz and of the milestones."""
        with np.load(self.run.path / "samples.npz") as file:
            arrays = dict(file)
        for path in sorted(self.run.path.glob("stages/denoiser/milestones/*.npz")):
            with np.load(path) as file:
                arrays[f"milestone/{int(path.stem)}"] = file["images"]
        return arrays
