"""One color and one line style per rung, told apart without color vision and on light and dark pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ups.reports.run_folder import Rung


class Ink(NamedTuple):
    """A color on a light page, on a dark page, and its name as a CSS variable."""

    light: str
    dark: str
    name: str


class Style(NamedTuple):
    """How a rung is drawn in every figure and table."""

    ink: Ink
    dash: str | tuple[int, tuple[float, ...]]
    marker: str
    width: float


TEXT = Ink("#1c2026", "#e6e8eb", "text")
MUTED = Ink("#667080", "#9aa4b2", "muted")
RULE = Ink("#dde1e7", "#343b46", "rule")
PAGE = Ink("#fefefe", "#14171c", "page")

# Hues after Okabe and Ito (2008), darkened or lightened for contrast with the page; the kind also has its own dash.
_HUES = {
    "trivial": [("#8a8f98", "#8b929d"), ("#aeb3bb", "#6b727d")],
    "solver": [("#4b3f36", "#d6c7b8"), ("#7d6a5a", "#a8988a")],
    "baseline": [
        ("#0072b2", "#5cb5f2"),
        ("#009e73", "#38d0a3"),
        ("#57a9dc", "#a9d9f9"),
        ("#4350a8", "#9aa6f5"),
    ],
    "ours": [("#d55e00", "#ff8a3d"), ("#b03a78", "#ee8fc0"), ("#b58900", "#ecc94b"), ("#6d35a8", "#bd9bf7")],
    "reference": [("#6f7d3c", "#bccb82"), ("#a3ad6b", "#8d9860")],
    "": [("#5a6b7a", "#a3b5c6"), ("#7a5a6b", "#c6a3b5")],
}
_DASHES = {"trivial": [":"], "solver": ["-."], "baseline": ["--"], "reference": [":"], "": ["--"]}
_DASHES["ours"] = [
    "-",
    (0, (5, 1.5)),
    (0, (2.5, 1)),
    (0, (1, 0.7)),
]  # a rung that changes nothing stays visible
_MARKERS = {"trivial": "X", "solver": "s", "baseline": "o", "ours": "D", "reference": "v", "": "o"}

RUNG_INKS = tuple(
    Ink(light, dark, f"{kind or 'other'}-{number}")
    for kind, hues in _HUES.items()
    for number, (light, dark) in enumerate(hues)
)
INKS = (TEXT, MUTED, RULE, PAGE, *RUNG_INKS)


def rung_styles(rungs: Sequence[Rung]) -> dict[str, Style]:
    """Return the style of every rung by name; it depends on its kind and its place among that kind."""
    seen: Counter[str] = Counter()
    styles = {}
    for rung in rungs:
        kind = rung.kind if rung.kind in _HUES else ""
        inks = [ink for ink in RUNG_INKS if ink.name.startswith(f"{kind or 'other'}-")]
        ink = inks[seen[kind] % len(inks)]
        dash = _DASHES[kind][seen[kind] % len(_DASHES[kind])]
        styles[rung.name] = Style(ink, dash, _MARKERS[kind], 2.2 if kind == "ours" else 1.5)
        seen[kind] += 1
    return styles
