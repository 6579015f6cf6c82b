"""What else differs between two runs: settings, versions, machine, data. What was not declared is a confound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

ABSENT = "(absent)"

Record = dict[str, Any]
"""The content of a run.json."""


class Difference(NamedTuple):
    """A leaf of two trees that is not the same in both; `ABSENT` where one of them has none."""

    path: str
    base: Any
    variant: Any


class Confound(NamedTuple):
    """A difference that nobody declared, and the seeds of the pairs of runs that have it."""

    path: str
    base: Any
    variant: Any
    seeds: tuple[int, ...]


def differences(base: Any, variant: Any, path: str = "") -> list[Difference]:
    """Return every leaf that differs, by its key.path; a list is a leaf, a missing key is `ABSENT`."""
    if not (isinstance(base, dict) and isinstance(variant, dict)):
        return [] if base == variant else [Difference(path, base, variant)]
    return [
        difference
        for key in dict.fromkeys([*base, *variant])
        for difference in differences(
            base.get(key, ABSENT), variant.get(key, ABSENT), f"{path}.{key}" if path else str(key)
        )
    ]


def is_declared(path: str, assignments: Iterable[str]) -> bool:
    """Return whether a setting differs because one of the assignments `key.path=value` says so.

    An assignment to a group declares all that is in it; so does a choice of its `kind`, which brings the settings of
    the new kind and drops those of the old one.
    """
    for assignment in assignments:
        assigned = assignment.partition("=")[0]
        group = assigned.removesuffix(".kind")
        if path == assigned or path.startswith(f"{group}."):
            return True
    return False


def settings_diff(base: Record, variant: Record) -> list[Difference]:
    """Return the settings, seed aside, that differ between two runs."""
    return differences(_without_seed(base["settings"]), _without_seed(variant["settings"]))


def confounds(
    base: Sequence[Record], variant: Sequence[Record], assignments: Iterable[str]
) -> list[Confound]:
    """Return all that differs between the runs of base and variant and is not among the variant's assignments.

    Compared are the runs of equal seed, in the given order: settings, versions, machine, the digest of data and
    splits, and the features between which distances of images are measured. What differs between seeds, but not
    within a pair, falls out of the paired difference.
    """
    assignments = tuple(assignments)
    found: dict[str, Confound] = {}
    for one, other in zip(base, variant, strict=True):
        undeclared = [diff for diff in settings_diff(one, other) if not is_declared(diff.path, assignments)]
        for difference in (*undeclared, *differences(_surroundings(one), _surroundings(other))):
            key = repr(difference)
            seeds = found[key].seeds if key in found else ()
            found[key] = Confound(*difference, (*seeds, one["seed"]))
    return list(found.values())


def withholding(
    found: Iterable[Confound], assignments: Iterable[str], settings: dict[str, Any], is_cost: bool
) -> list[Confound]:
    """Return the confounds that withhold a verdict on a metric.

    Any setting that nobody declared, other data, other versions. Another machine moves errors by round-off alone; it
    withholds the verdict on a cost, and where a budget is in seconds, which buy other work there. Data are not
    confounded by what a variant declares of them: trajectories that both were shown are paired by what they are.
    """
    on_data = any(assignment.startswith("data.") for assignment in assignments)
    timed = is_cost or any(
        isinstance(part, dict) and part.get("seconds") is not None for part in settings.values()
    )
    return [
        confound
        for confound in found
        if not (confound.path == "data.digest" and on_data)
        and not (confound.path.startswith("machine") and not timed)
    ]


def _without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "seed"}


def _surroundings(record: Record) -> dict[str, Any]:
    return {
        "versions": record.get("versions"),
        "machine": record.get("machine"),
        "data": {"digest": (record.get("data") or {}).get("digest")},
        "features": record.get("features"),
    }
