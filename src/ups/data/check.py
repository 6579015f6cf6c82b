"""What is wrong with data; read in blocks, so a file may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ups.data.file_source import FileSource, uneven_frame
from ups.data.layout import Layout
from ups.data.likeness import find_alike, kept_frames, long_waves
from ups.data.splits import initial_hashes
from ups.progress import Progress
from ups.types import Fields, Trajectory

CONSERVATION_TOLERANCE = 2e-2
TRAJECTORIES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing to know. An error makes the data unusable, a warning may, a note is often meant to be so."""

    severity: Literal["error", "warning", "note"]
    where: str
    what: str


def check(
    sources: Sequence[FileSource | Trajectory],
    tolerance: float = CONSERVATION_TOLERANCE,
    progress: Progress = lambda fraction, text: None,
) -> list[Finding]:
    """Look for what spoils training: bad values, frozen frames, repeats, also in disguise, lost mass, uneven time.

    `tolerance` bounds the drift of the mean of a conserved field, max over t of |mean u(t) - mean u(0)|, over the
    root mean square of frame 0. The samples of a shock on a coarse grid drift by up to a hundredth
    even if the solver conserves.

    Raises:
        UserError: a file is missing, damaged, or of another format.
    """
    findings: list[Finding] = []
    # the hash of an initial condition -> the source and the index where it was first seen
    begun: dict[str, tuple[int, int]] = {}
    names: list[str] = []
    all_frames: list[_Frames] = []
    parts: list[Layout | Trajectory] = []
    for source in sources:
        parts += [source] if isinstance(source, Trajectory) else source.layouts()
    for number, part in enumerate(parts):
        if isinstance(part, Trajectory):
            names.append(f"trajectories {number}")
        else:
            names.append(str(part.path))
            findings += _said(names[-1], part)
        fields, num, blocks = _open(part)
        found, waves = _Found(), []
        repeats: dict[int, list[tuple[int, int]]] = {}
        for start, values in blocks:
            found.add(start, values, fields, tolerance)
            kept = list(kept_frames(num, values.shape[1]))
            waves.append(long_waves(torch.from_numpy(values[:, kept]).flatten(0, 1)))
            progress((number + (start + len(values)) / num) / len(parts), Path(names[-1]).name)
            for index, initial in enumerate(initial_hashes(torch.from_numpy(values)), start):
                other, first = begun.setdefault(initial, (number, index))
                if (other, first) != (number, index):
                    repeats.setdefault(other, []).append((index, first))
        findings += found.findings(names[-1])
        for other, pairs in repeats.items():
            where = "earlier in it" if other == number else f"in {names[other]}"
            what = f"{len(pairs)} initial conditions also stand {where}, first {pairs[0][0]} = {pairs[0][1]} there"
            severity = "warning" if other == number else "note"
            findings.append(Finding(severity, names[-1], f"{what}; our splits keep them together"))
        repeated = {index for pairs in repeats.values() for index, _ in pairs}
        all_frames.append(_frames(torch.cat(waves), num, repeated))
    return [*findings, *_disguised(names, all_frames)]


class _Frames(NamedTuple):
    """The longest waves of the kept frames of one source, and the trajectory that each is of."""

    waves: Tensor
    trajectory: Tensor
    is_initial: Tensor


def _frames(waves: Tensor, num: int, repeated: set[int]) -> _Frames:
    """Sort the waves of `num` trajectories, without the initial frames that are known to repeat others."""
    each = len(waves) // num
    place = torch.arange(len(waves))
    told = torch.tensor([each * index for index in sorted(repeated)], dtype=torch.long)
    kept = ~torch.isin(place, told)
    return _Frames(waves[kept], place[kept] // each, place[kept] % each == 0)


def _disguised(names: list[str], all_frames: list[_Frames]) -> Iterator[Finding]:
    """Look for initial conditions that are a frame of another trajectory, of the same source or an earlier one."""
    for number, mine in enumerate(all_frames):
        places = mine.is_initial.nonzero()[:, 0]
        for other, theirs in enumerate(all_frames[: number + 1]):
            apart = (mine.trajectory[places], theirs.trajectory) if other == number else None
            alike = find_alike(mine.waves[places], theirs.waves, apart=apart)
            which = (alike >= 0).nonzero()[:, 0]
            if len(which):
                first, there = int(mine.trajectory[places[which[0]]]), int(theirs.trajectory[alike[which[0]]])
                where = "another trajectory in it" if other == number else f"a trajectory in {names[other]}"
                what = f"{len(which)} initial conditions are a frame of {where}, moved, mirrored or disturbed by less "
                yield Finding("warning", names[number], f"{what}than 0.1 %, first {first} from {there} there")


@dataclass
class _Found:
    """What one source showed so far: (trajectory, frame) of bad and of constant frames, and drifts."""

    bad: list[tuple[int, int]] = field(default_factory=list)
    constant: list[tuple[int, int]] = field(default_factory=list)
    drifting: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, start: int, values: np.ndarray, fields: Fields, tolerance: float) -> None:
        space = tuple(range(3, values.ndim))
        finite = np.asarray(np.isfinite(values).all((2, *space)))
        self.bad += _places(start, ~finite)
        self.constant += _places(start, finite & (values.max(space) == values.min(space)).any(2))
        for index, name in enumerate(fields.names):
            if name in fields.conserved:
                whole = values[:, :, index].astype(np.float64)
                whole = whole.reshape(*whole.shape[:2], -1)
                mean, scale = whole.mean(-1), np.sqrt((whole[:, 0] ** 2).mean(-1))
                with np.errstate(invalid="ignore", divide="ignore"):
                    drift = np.abs(mean - mean[:, :1]).max(1) / scale
                large = np.flatnonzero(drift > tolerance)
                self.drifting.setdefault(name, []).extend((start + int(i), float(drift[i])) for i in large)

    def findings(self, name: str) -> Iterator[Finding]:
        if self.bad:
            yield Finding("error", name, f"NaN or Inf in {_shown(self.bad)}")
        if self.constant:
            yield Finding("warning", name, f"constant in space: {_shown(self.constant)}")
        for conserved, drifts in self.drifting.items():
            if drifts:
                worst, drift = max(drifts, key=lambda pair: pair[1])
                yield Finding(
                    "warning",
                    name,
                    f"the mean of {conserved} should be conserved but drifts in {len(drifts)} trajectories, "
                    f"by up to {drift:.2g} of the initial root mean square (trajectory {worst})",
                )


def _open(part: Layout | Trajectory) -> tuple[Fields, int, Iterator[tuple[int, np.ndarray]]]:
    if isinstance(part, Trajectory):
        blocks = part.values.split(64)
        return part.fields, len(part), ((64 * i, block.numpy(force=True)) for i, block in enumerate(blocks))
    return part.fields, part.num_trajectories, part.blocks(part.num_trajectories)


def _said(name: str, layout: Layout) -> Iterator[Finding]:
    """Look at what the file says of its times, boundaries and constants."""
    if (frame := uneven_frame(layout)) is not None:
        step, dt = layout.times[frame + 1] - layout.times[frame], layout.fields.dt
        what = f"frames are not equally far apart in time: {step:g} after frame {frame}, {dt:g} on average"
        yield Finding("error", name, what)
    if layout.missing:
        yield Finding("warning", name, layout.missing.removeprefix(f"{name}: "))
    if layout.constants is not None and not np.isfinite(layout.constants).all():
        yield Finding("error", name, "NaN or Inf in a constant field")
    for note in layout.notes:
        yield Finding("note", name, f"not used: {note}")


def _places(start: int, which: np.ndarray) -> list[tuple[int, int]]:
    return [(start + int(trajectory), int(frame)) for trajectory, frame in np.argwhere(which)]


def _shown(places: Sequence[tuple[int, int]]) -> str:
    trajectories = sorted({trajectory for trajectory, _ in places})
    shown = ", ".join(map(str, trajectories[:TRAJECTORIES_SHOWN]))
    more = " ..." if len(trajectories) > TRAJECTORIES_SHOWN else ""
    trajectory, frame = places[0]
    return f"{len(places)} frames, first trajectory {trajectory} frame {frame} (trajectories {shown}{more})"
