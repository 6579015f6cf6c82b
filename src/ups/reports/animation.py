"""A forecast on a plane as an animation that plays in the page: truth, forecasts and their errors, frame by frame."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from ups.files import written_whole
from ups.reports.palette import MUTED

MOST_FRAMES = 60
SECONDS = 0.12
"""Of a frame."""
LONG_SIDE, STACKED_SIDE = 300, 480
"""Pixels of the longer side of a panel, of panels beside each other and of those above each other."""
WIDE = 1.6
"""A panel that is so much wider than high stands above the next, not beside it."""
MARGIN, TITLE = 10, 20
QUALITY = 80


class Panel(NamedTuple):
    """What one panel shows, with the ends of its color scale."""

    title: str
    values: Float[np.ndarray, "time x y"]
    colors: str
    low: float
    high: float


def panels(
    examples: Mapping[str, np.ndarray], forecasts: Sequence[str], field: int, example: int = 1
) -> list[Panel]:
    """Return truth, forecasts and errors of one trajectory; values share a color scale and so do errors."""
    truth = examples["truth"][example, :, field]
    made = {name: examples[f"forecast/{name}"][example, :, field] for name in forecasts}
    low, high = float(truth.min()), float(truth.max())
    errors = {name: each - truth for name, each in made.items()}
    known = [np.abs(each[np.isfinite(each)]) for each in errors.values()]
    largest = max((float(each.max()) for each in known if each.size), default=0.0) or 1.0
    found = [Panel("truth", truth, "viridis", low, high)]
    for name, each in made.items():
        found.append(Panel(name, each, "viridis", low, high))
        found.append(Panel(f"error of {name}", errors[name], "RdBu_r", -largest, largest))
    return found


def animate(
    shown: Sequence[Panel],
    time: Float[np.ndarray, " time"],
    aspect: float,
    unit: str,
    path: Path,
    description: str,
) -> str:
    """Write an animated WebP, of at most 60 frames, and return the element that holds it: nothing outside is asked.

    `aspect` is the width of the domain over its height; x runs to the right and y upwards.
    """
    steps = np.unique(np.linspace(0, len(time) - 1, min(len(time), MOST_FRAMES)).round().astype(int))
    stacked = aspect > WIDE
    long = STACKED_SIDE if stacked else LONG_SIDE
    size = (max(1, round(long * min(1.0, aspect))), max(1, round(long / max(1.0, aspect))))
    pictures = [_frame(shown, int(step), size, f"t = {time[step]:.3g}{unit}", stacked) for step in steps]
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 * SECONDS),
        loop=0,
        quality=QUALITY,
    )
    with written_whole(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    data = base64.b64encode(stream.getvalue()).decode()
    width, height = pictures[0].size
    return (
        f'<img alt="{escape(description)}" width="{width}" height="{height}" '
        f'src="data:image/webp;base64,{data}">'
    )


def _frame(shown: Sequence[Panel], step: int, size: tuple[int, int], when: str, stacked: bool) -> Image.Image:
    """Return one frame: the panels below or beside each other, each under its name, and the time."""
    width, height = size
    across, down = (1, len(shown)) if stacked else (len(shown), 1)
    whole = (across * (width + MARGIN) - MARGIN, down * (height + TITLE) + TITLE)
    picture = Image.new("RGBA", whole, (0, 0, 0, 0))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for place, panel in enumerate(shown):
        left, top = (0, place * (height + TITLE)) if stacked else (place * (width + MARGIN), 0)
        pen.text((left, top + 2), _short(panel.title, width), fill=MUTED.light, font=font)
        image = Image.fromarray(_pixels(panel, step)).resize(size, Image.Resampling.NEAREST)
        picture.paste(image, (left, top + TITLE))
    pen.text((0, whole[1] - TITLE + 3), when, fill=MUTED.light, font=font)
    return picture


def _pixels(panel: Panel, step: int) -> UInt8[np.ndarray, "y x 3"]:
    """Return a frame in colors; what is not finite is gray."""
    values = panel.values[step].T[::-1]
    place = (values - panel.low) / (panel.high - panel.low or 1.0)
    known = np.isfinite(place)
    colors = matplotlib.colormaps[panel.colors](np.where(known, place, 0.0).clip(0, 1), bytes=True)[..., :3]
    return np.where(known[..., None], colors, 128).astype(np.uint8)


def _short(title: str, width: int) -> str:
    most = max(8, width // 7)
    return title if len(title) <= most else f"{title[: most - 1]}…"
