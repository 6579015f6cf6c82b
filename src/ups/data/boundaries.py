"""Boundaries as people write them: one word for all sides, or for each axis a word or a pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from ups.config import shown
from ups.types import Axis, Boundary, UserError

ALL = "*"
HOW = (
    "boundary=periodic (or wall, open, dirichlet(0), neumann(0); by axis and side: "
    "boundary={x: periodic, y: [wall, open]})"
)


def boundary(word: str) -> Boundary:
    """Return the boundary that a word names: "wall", "dirichlet(0.5)".

    Raises:
        ValueError: it names none.
    """
    found = re.fullmatch(r"(periodic|wall|open)|(dirichlet|neumann)(?:\((.+)\))?", str(word).strip().lower())
    if found is None:
        raise ValueError(f"no boundary is called '{shown(word, 40)}'; write {HOW}")
    value = float(found[3] or 0)
    if not abs(value) < float("inf"):
        raise ValueError(f"the value of a boundary must be finite (got {shown(word, 40)})")
    kind: Any = found[1] or found[2]
    return Boundary(kind, value)


def spelled_sides(value: Any) -> tuple[str, str]:
    """Return the words of both ends of an axis from one word or a pair.

    Raises:
        ValueError: a word names no boundary, or one end alone is periodic.
    """
    low, high = (value, value) if isinstance(value, str) else value
    if (boundary(low).kind == "periodic") != (boundary(high).kind == "periodic"):
        raise ValueError("periodic at one end is periodic at both")
    return str(boundary(low)), str(boundary(high))


def _spelled(value: Any) -> dict[str, tuple[str, str]]:
    by_axis = value if isinstance(value, dict) else {} if value is None else {ALL: value}
    for name, sides in by_axis.items():
        if not isinstance(sides, str) and not (isinstance(sides, list | tuple) and len(sides) == 2):
            raise ValueError(f"the sides of {shown(name, 40)} are a word or [low, high]; write {HOW}")
    return {str(name): spelled_sides(sides) for name, sides in by_axis.items()}


Boundaries = Annotated[dict[str, tuple[str, str]], BeforeValidator(_spelled)]
"""What holds at the ends of the axes: `wall`, `[wall, open]`, `{x: periodic, y: [wall, open]}`."""


def bounded(
    path: Path, axes: Sequence[Axis], stated: dict[str, tuple[str, str]], known: set[str] | None = None
) -> tuple[tuple[Axis, ...], str]:
    """Return the axes with the boundaries that the user stated, and what is still missing in one line.

    `known` names the axes whose boundaries the file tells; None: all of them.

    Raises:
        UserError: a boundary is given for an axis that is not there.
    """
    names = [axis.name for axis in axes]
    if strange := set(stated) - {ALL, *names}:
        wrong = ", ".join(sorted(map(shown, strange)))
        raise UserError(f"{path}: boundary of {wrong}, but the axes are {', '.join(names)}")
    found, missing = [], []
    for axis in axes:
        sides = stated.get(axis.name, stated.get(ALL))
        if sides:
            axis = replace(axis, low=boundary(sides[0]), high=boundary(sides[1]))
        elif known is not None and axis.name not in known:
            missing.append(axis.name)
        found.append(axis)
    line = (
        f"{path}: what holds at the ends of {', '.join(missing)} is not recorded; give {HOW}"
        if missing
        else ""
    )
    return tuple(found), line
