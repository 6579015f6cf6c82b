"""A page: templates filled in as HTML and as Markdown, with the style and the words that all reports share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ups.files import written_whole
from ups.reports import wording
from ups.reports.palette import INKS

WORDS = ("number", "interval", "percent", "count", "duration", "metric_name")
"""What templates call of `wording`."""


def write_page(
    folder: Path,
    template: str,
    content: Mapping[str, Any],
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> None:
    """Write report.html and report.md into a folder, from `<template>.html.jinja` and `<template>.md.jinja`.

    Whatever the content holds is text in both: nothing of it becomes markup. `filters` are further functions that
    the templates call by name.
    """
    forms = {"html": _environment(autoescape=True), "md": _environment(finalize=escape_markdown)}
    for form, environment in forms.items():
        environment.filters |= filters or {}
        text = environment.get_template(f"{template}.{form}.jinja").render({"inks": INKS} | dict(content))
        with written_whole(folder / f"report.{form}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested mappings as (key.path, value), written so that `key.path=value` sets them again."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree if isinstance(tree, str) else json.dumps(tree, ensure_ascii=False)


def escape_markdown(value: Any) -> Any:
    """Return a value as text that Markdown shows as it is, on one line; `Markup` passes."""
    if isinstance(value, Markup):
        return value
    text = " ".join(str(value).split())
    for character in "\\`*|":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("](", "]\\(")


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("ups.reports"), trim_blocks=True, lstrip_blocks=True, **options
    )
    environment.filters |= {word: getattr(wording, word) for word in WORDS}
    environment.filters["trusted"] = Markup  # for what is made here: SVG, and the output of macros
    return environment
