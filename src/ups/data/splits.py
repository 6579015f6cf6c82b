"""Splits by initial condition: trajectories that begin equally never stand on two sides."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ups.data.likeness import groups
from ups.types import Trajectory, UserError

FEWEST = 10
"""Initial conditions below which copies in disguise are split like any other: the families of a single wave, say."""


@dataclass(frozen=True)
class Splits:
    """The three parts, and a digest of their values, parameters, fields and membership."""

    train: Trajectory
    validation: Trajectory
    test: Trajectory
    digest: str


def initial_hashes(values: Float[Tensor, "batch time field *grid"]) -> list[str]:
    """Return the sha256 of each first frame in float32; -0.0 counts as 0.0."""
    frames = values[:, 0].to(torch.float32, copy=True).add_(0.0).contiguous().numpy(force=True)
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]


def identities(trajectory: Trajectory) -> list[str]:
    """Return what tells the trajectories apart in any run: the hash of initial condition and parameters.

    Equal ones are numbered, so that no two of them have one identity.
    """
    counts: dict[str, int] = {}
    found = []
    for initial, params in zip(initial_hashes(trajectory.values), trajectory.params.tolist(), strict=True):
        name = hashlib.sha256(json.dumps([initial, params]).encode()).hexdigest()[:32]
        counts[name] = counts.get(name, 0) + 1
        found.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return found


def split(trajectory: Trajectory, test_fraction: float = 0.1, validation_fraction: float = 0.05) -> Splits:
    """Split by the content of the initial condition, not by position in the file.

    The distinct initial conditions, ordered by their hash, give the first tenth to the test, the next twentieth to
    validation and the rest to training, each at least one. So several parameters from equal initial conditions
    fall together, and two files with the same initial conditions are split alike. Initial conditions that are one
    another moved, mirrored or a little disturbed (`likeness`) count as one, unless all of them then are too few.

    Raises:
        UserError: there are fewer than three initial conditions.
    """
    hashes = initial_hashes(trajectory.values)
    families = _families(trajectory, hashes)
    if len(set(families.values())) >= FEWEST:
        hashes = [families[initial] for initial in hashes]
    distinct = sorted(set(hashes))
    num_test = max(1, round(test_fraction * len(distinct)))
    num_validation = max(1, round(validation_fraction * len(distinct)))
    if num_test + num_validation >= len(distinct):
        raise UserError(
            f"{len(hashes)} trajectories with {len(distinct)} distinct initial conditions cannot be split into "
            "training, validation and test; give at least 3 initial conditions"
        )
    place = {initial: rank for rank, initial in enumerate(distinct)}
    ranks = torch.tensor([place[initial] for initial in hashes])
    test = trajectory.select((ranks < num_test).nonzero()[:, 0])
    held_out = num_test + num_validation
    validation = trajectory.select(((ranks >= num_test) & (ranks < held_out)).nonzero()[:, 0])
    train = trajectory.select((ranks >= held_out).nonzero()[:, 0])
    assert_disjoint({"training": train, "validation": validation, "test": test})
    return Splits(train, validation, test, _digest(train, validation, test))


def _families(trajectory: Trajectory, hashes: list[str]) -> dict[str, str]:
    """Return for the hash of each initial condition the least of those that are alike."""
    places = {initial: place for place, initial in reversed(list(enumerate(hashes)))}
    distinct = list(places)
    leaders = groups(trajectory.values[list(places.values()), 0])
    least: dict[int, str] = {}
    for leader, initial in zip(leaders, distinct, strict=True):
        least[leader] = min(initial, least.get(leader, initial))
    return {initial: least[leader] for leader, initial in zip(leaders, distinct, strict=True)}


def assert_disjoint(parts: dict[str, Trajectory]) -> None:
    """See that no initial condition stands in two parts.

    Raises:
        UserError: one does.
    """
    seen: dict[str, tuple[str, int]] = {}
    for name, part in parts.items():
        for index, initial in enumerate(initial_hashes(part.values)):
            other, first = seen.setdefault(initial, (name, index))
            if other != name:
                raise UserError(
                    f"{name} trajectory {index} begins like {other} trajectory {first}: the parts overlap; "
                    "split by initial condition"
                )


def _digest(*parts: Trajectory) -> str:
    """Hash the parts one after the other; the order of trajectories within a part matters, as it does in training."""
    total = hashlib.sha256(json.dumps(asdict(parts[0].fields), sort_keys=True).encode())
    for part in parts:
        total.update(f"part of {len(part)} {tuple(part.values.shape)}".encode())
        for values, params in zip(part.values, part.params, strict=True):
            total.update(np.ascontiguousarray(values.numpy(force=True)).tobytes())
            total.update(params.numpy(force=True).tobytes())
        for more in (part.constants, part.actions):
            if more is not None:
                total.update(np.ascontiguousarray(more.numpy(force=True)).tobytes())
    return total.hexdigest()[:16]
