"""From a matplotlib figure to a PNG file and to an SVG whose colors follow the page; the common look of axes."""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from ups.files import written_whole
from ups.reports.palette import INKS, MUTED, PAGE, RULE, TEXT

WIDTH = 9.6  # inches; 691 points, which the page scales to its own width
_LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,  # names of steppers are text, whatever they hold
    "text.color": TEXT.light,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": MUTED.light,
    "axes.edgecolor": MUTED.light,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "grid.color": RULE.light,
    "grid.linewidth": 0.7,
    "figure.facecolor": PAGE.light,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ups",
    "image.origin": "lower",
}


@contextmanager
def look() -> Generator[None, None, None]:
    """The look of all figures; draw and save inside it."""
    with matplotlib.rc_context(_LOOK):  # ty: ignore[invalid-argument-type]
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width; `height` in inches."""
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, path: Path) -> None:
    """Write the figure for a light page, at 150 dots per inch, and settle its layout."""
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    figure.set_layout_engine("none")


def to_svg(figure: Figure, description: str) -> str:
    """Return the figure as SVG to stand inside HTML: real text, no outside reference, CSS variables as colors."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", dpi=160, transparent=True)
    svg = stream.getvalue()
    root, content = svg[svg.index("<svg") + 4 :].split(">", 1)
    root = re.sub(r' (xmlns(:\w+)?|width|height|version)="[^"]*"', "", root)
    content = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", content, flags=re.DOTALL)
    for ink in INKS:
        content = content.replace(ink.light, f"var(--{ink.name})")
    return f'<svg role="img" aria-label="{escape(description)}"{root}>{content}'


def plain_number(value: float) -> str:
    """Write a tick of a logarithmic axis: 0.02 as it is, small and large powers as 10⁻⁵."""
    if value <= 0 or 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    power = "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    factor = value / 10.0**exponent
    return power if round(factor, 6) == 1 else f"{factor:g}·{power}"


def log_axis(axes: Axes, which: str) -> None:
    """Make the axis "x" or "y" logarithmic, with ticks that are numbers even if it spans less than a decade."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    if decades < 0.7:
        axis.set_major_locator(MaxNLocator(4))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axis.set_minor_locator(
        LogLocator(subs=tuple(range(2, 10)), numticks=20) if decades < 6 else FixedLocator([])
    )
    axis.set_minor_formatter(NullFormatter())


def tidy(axes: Axes) -> None:
    """Leave the two axes that carry numbers, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y")


def label_ends(
    figure: Figure, axes: Axes, ends: Sequence[tuple[float, float, str, str]], spacing: float = 12.0
) -> None:
    """Name lines at the right edge, moved apart to `spacing` points; `ends` holds (x, y, text, color)."""
    figure.draw_without_rendering()
    to_points = 72.0 / figure.dpi
    order = sorted(ends, key=lambda end: end[1])
    wanted = [axes.transData.transform((x, y))[1] * to_points for x, y, _, _ in order]
    placed = spread(wanted, spacing)
    for (x, y, text, color), want, place in zip(order, wanted, placed, strict=True):
        axes.annotate(
            text,
            (x, y),
            (8, place - want),
            textcoords="offset points",
            va="center",
            color=color,
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], spacing: float) -> list[float]:
    """Return the positions nearest to the sorted ones `wanted` (least squares) that are `spacing` apart."""
    shifted = [[value - spacing * index] for index, value in enumerate(wanted)]
    blocks: list[list[float]] = []
    for block in shifted:  # pool adjacent violators
        blocks.append(block)
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    level = [float(np.mean(block)) for block in blocks for _ in block]
    return [value + spacing * index for index, value in enumerate(level)]


def label_points(figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Name points beside them, at the first of eight places that hides no other point or name."""
    figure.draw_without_rendering()
    taken = [_around(*axes.transData.transform((x, y)), 5.0) for x, y, _, _ in points]
    places = [
        (6, 5, "left", "bottom"),
        (6, -5, "left", "top"),
        (-6, 5, "right", "bottom"),
        (-6, -5, "right", "top"),
    ]
    places += [
        (9, 0, "left", "center"),
        (-9, 0, "right", "center"),
        (0, 9, "center", "bottom"),
        (0, -9, "center", "top"),
    ]
    for x, y, text, color in points:
        for dx, dy, ha, va in places:
            note = axes.annotate(
                text, (x, y), (dx, dy), textcoords="offset points", ha=ha, va=va, color=color
            )
            box = note.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if (inside and not any(box.overlaps(other) for other in taken)) or (dx, dy) == places[-1][:2]:
                taken.append(box)
                break
            note.remove()


def _around(x: float, y: float, radius: float) -> Bbox:
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)
