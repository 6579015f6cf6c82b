"""Typed, frozen settings: overrides `key.path=value`, YAML and JSON files, one-line errors, a stable digest."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ups.types import UserError

S = TypeVar("S", bound="Settings")

SHOWN = 60
"""Characters of a wrong value, or of a name, that a message shows."""

FAULTS = 3
"""Faults of one input that a message tells of; the others it counts."""

NAMES = 8
"""Valid names that a message lists where none is close to the one that was meant."""


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error.

    Where one of several kinds can be chosen, each kind's settings carry `kind: Literal["..."]` and the field that
    holds them is a union discriminated by `kind`. Of `alternatives` one is given: to lay another over it is enough.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
    alternatives: ClassVar[tuple[str, ...]] = ()


def digest(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the sha256 of a value's canonical JSON; equal in every process."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the valid name closest to `name`, or the first of the valid names."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name[:SHOWN], valid, n=1, cutoff=0.5)
    if close:
        return f" (did you mean '{close[0]}'?)"
    more = f" and {len(valid) - NAMES} more" if len(valid) > NAMES else ""
    return f" (valid: {', '.join(valid[:NAMES])}{more})"


def shown(text: object, limit: int = 120) -> str:
    """Return a text that came from the user as one printable line of bounded length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."


def read_yaml(text: str) -> Any:
    """Read one value of YAML.

    Raises:
        ValueError: it is none, or what YAML may say and settings may not: a number of thousands of digits, a list
            that holds itself.
    """
    try:
        value = yaml.safe_load(text)
        json.dumps(value, default=str)  # what holds itself, or is too deep, has no end
    except (yaml.YAMLError, OverflowError, RecursionError, TypeError) as error:
        raise ValueError(shown(error, 120)) from None
    return value


def override(settings: S, assignments: Iterable[str]) -> S:
    """Return the settings with `key.path=value` assignments applied and everything validated again.

    A value is read as YAML. Choosing another `kind` drops the settings of the old kind.

    Raises:
        UserError: an assignment is malformed, names no setting, or has a value of the wrong type.
    """
    said = []
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path:
            raise UserError(f"setting '{shown(assignment, SHOWN)}': write it as key.path=value")
        try:
            value = read_yaml(text)
        except ValueError:
            raise UserError(f"setting '{shown(assignment, SHOWN)}': the value is not valid YAML") from None
        said.append((path, value))
    return _lay_over(settings, said)


def merge(settings: S, tree: dict[str, Any]) -> S:
    """Return the settings with a nested mapping laid over them, validated again.

    Raises:
        UserError: a key names no setting, or a value has the wrong type.
    """
    return _lay_over(settings, list(_leaves(tree, settings.model_dump(mode="json"))))


def read_tree(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds one mapping.

    Raises:
        UserError: the file is missing, malformed, or holds something else.
    """
    try:
        tree = read_yaml(path.read_text())
    except OSError as error:
        raise UserError(f"settings file {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"settings file {path}: not valid YAML or JSON: {error}") from None
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise UserError(f"settings file {path}: expected a mapping of settings")
    return tree


def validate(kind: type[S], data: dict[str, Any]) -> S:
    """Build settings from plain data.

    Raises:
        UserError: with every fault in one line, and for a misspelt name the nearest valid one.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = error.errors()
        told = [_explain(kind, data, fault) for fault in faults[:FAULTS]]
        more = [f"and {len(faults) - FAULTS} more"] if len(faults) > FAULTS else []
        raise UserError("; ".join(told + more)) from None


def _lay_over(settings: S, said: list[tuple[str, Any]]) -> S:
    """Assign values to paths, kinds first and outer ones before inner ones: they bring what others then change."""
    data = settings.model_dump(mode="json")
    for path, value in sorted(said, key=lambda pair: pair[0].count(".") if _is_kind(pair[0]) else math.inf):
        _assign(data, path, value)
    paths = {path for path, _ in said}
    for path in [path for path, value in said if value is not None]:
        group, dot, leaf = path.rpartition(".")
        others = getattr(_group(settings, group), "alternatives", ())
        for other in others if leaf in others else ():
            if other != leaf and f"{group}{dot}{other}" not in paths:
                _assign(data, f"{group}{dot}{other}", None)
    return validate(type(settings), data)


def _is_kind(path: str) -> bool:
    return path.rpartition(".")[2] == "kind"


def _group(settings: Any, path: str) -> Any:
    """Return the settings at a path, or None if there are none yet."""
    for key in path.split(".") if path else ():
        settings = settings.get(key) if isinstance(settings, dict) else getattr(settings, key, None)
    return settings


def _assign(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    node: Any = data
    is_new = False  # of what was null nothing is known before it is validated
    for depth, key in enumerate(parents):
        if is_new:
            node = node.setdefault(key, {})
            continue
        if not isinstance(node, dict) or key not in node:
            where = ".".join(parents[:depth]) or "the settings"
            hint = nearest(key, node) if isinstance(node, dict) else ""
            raise UserError(
                f"setting '{shown(path, SHOWN)}': {shown(where, SHOWN)} has no '{shown(key, SHOWN)}'{hint}"
            )
        if node[key] is None:
            node[key], is_new = {}, True
        node = node[key]
    if not isinstance(node, dict):
        raise UserError(
            f"setting '{shown(path, SHOWN)}': '{shown('.'.join(parents), SHOWN)}' is a value, not a group of settings"
        )
    if leaf == "kind" and node.get("kind") != value:
        node.clear()  # the other kind's settings do not belong to this one
    node[leaf] = value


def _leaves(tree: dict[str, Any], data: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in sorted(tree.items(), key=lambda item: item[0] != "kind"):
        path = f"{prefix}{key}"
        known = data.get(key) if isinstance(data, dict) else None
        if isinstance(value, dict) and value and isinstance(known, dict):
            yield from _leaves(value, known, f"{path}.")
        else:
            yield path, value


def _explain(kind: type[BaseModel], data: Any, fault: Any) -> str:
    """Turn one pydantic fault into 'setting 'a.b': what is wrong'."""
    path = [str(part) for part in fault["loc"]]
    readable, node = [], data
    for part in path:  # pydantic inserts the tags of unions; keep only what the user wrote
        if isinstance(node, dict) and part in node:
            readable.append(part)
            node = node[part]
        elif isinstance(node, list | tuple) and part.isdigit():
            readable.append(part)
            node = node[int(part)] if int(part) < len(node) else None
        elif part == path[-1]:
            readable.append(part)
    where = f"setting '{shown('.'.join(readable), SHOWN)}'" if readable else "settings"
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such setting{nearest(path[-1], _names(kind, path[:-1]))}"
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{where}: kind must be one of {fault['ctx'].get('expected_tags', 'the known kinds')}"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = "" if isinstance(fault["input"], dict) else f" (got {shown(repr(fault['input']), SHOWN)})"
    return f"{where}: {message}{given}"


def _names(kind: type[BaseModel], path: list[str]) -> list[str]:
    """Return the names of the settings that may stand at `path`, following unions by their tag."""
    candidates: list[type[BaseModel]] = [kind]
    for part in path:
        inside = [
            _models(model.model_fields[part].annotation) for model in candidates if part in model.model_fields
        ]
        tagged = [m for m in candidates if _tag(m) == part]
        candidates = tagged or [model for models in inside for model in models] or candidates
    return [name for model in candidates for name in model.model_fields]


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return field.default if field is not None else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]
