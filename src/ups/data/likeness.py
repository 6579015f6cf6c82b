"""Frames that are others in disguise: moved, mirrored, of the other sign, scaled, or disturbed a little.

Only the longest waves are looked at, so a frame takes little room and a run can keep what its networks have seen. What
no rule here undoes passes as new: a frame stretched in space, or disturbed by more than the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ups.streams import stream

WAVES = {1: 16, 2: 5, 3: 3}
"""The longest waves of each axis, by the number of axes."""

TOLERANCE = 1e-3
"""Largest difference of two frames that count as alike, over the deviation of one from its mean."""

MOST_FRAMES = 200_000
"""Frames that are kept to compare with; of more, some of the later ones are left out."""

MOST_CANDIDATES = 64
"""Known frames that are moved onto one of mine: of more, as where all frames are one wave, those of nearest sizes."""

_BLOCK = 64


def long_waves(frames: Float[Tensor, "batch field *grid"]) -> Complex[Tensor, "batch field *wave"]:
    """Return the amplitudes of the longest waves, of either sign along all axes but the last.

    The squares sum to the mean square of the part of the frame that they are.
    """
    dims = tuple(range(2, frames.ndim))
    found = torch.fft.fftn(frames.double(), dim=dims, norm="forward")
    for dim in dims:
        cells = found.shape[dim]
        most = min(WAVES[len(dims)], (cells - 1) // 2)
        kept = range(0 if dim == dims[-1] else -most, most + 1)
        found = found.index_select(dim, torch.tensor([number % cells for number in kept]))
    found[..., 1:] *= 2**0.5  # a wave and its conjugate
    return found.to(torch.complex64)


def kept_frames(num_trajectories: int, num_frames: int) -> range:
    """Return which frames of each trajectory are kept: all of them, or so many that all together are not too many."""
    return range(0, num_frames, max(1, -(-num_trajectories * num_frames // MOST_FRAMES)))


def waves_of_all(values: Float[Tensor, "batch time field *grid"]) -> Complex[Tensor, "frame field *wave"]:
    """Return the longest waves of the kept frames, trajectory after trajectory."""
    num, times = values.shape[:2]
    frames = list(kept_frames(num, times))
    parts = [
        long_waves(values[start : start + _BLOCK, frames].flatten(0, 1)) for start in range(0, num, _BLOCK)
    ]
    return torch.cat(parts)


def find_alike(
    mine: Complex[Tensor, "batch field *wave"],
    known: Complex[Tensor, "frame field *others"],
    scaled: bool = False,
    tolerance: float = TOLERANCE,
    apart: tuple[Int[Tensor, "batch"], Int[Tensor, "frame"]] | None = None,
) -> Int[Tensor, "batch"]:
    """Return for each of my frames the number of a known one that is alike, or -1; `scaled` forgives a factor.

    `apart` has the trajectory of each of mine and of each known one: frames of the same are not compared.

    What moving and mirroring leave as it is sorts out the candidates, so the time grows with the number of frames and
    not with that of pairs; then each candidate is moved onto its frame, to fractions of a cell.
    """
    found = torch.full((len(mine),), -1)
    if mine.shape[1:] != known.shape[1:] or not len(known):
        return found
    for index, candidates in _candidates(_invariants(mine, scaled), _invariants(known, scaled), tolerance):
        if apart is not None:
            candidates = candidates[apart[1][candidates] != apart[0][index]]
        candidates = candidates[:MOST_CANDIDATES]
        if not len(candidates):
            continue
        distance = _distance(mine[index], known[candidates], scaled)
        best = int(distance.argmin())
        if distance[best] < tolerance:
            found[index] = candidates[best]
    return found


def groups(frames: Float[Tensor, "batch field *grid"]) -> list[int]:
    """Return for each frame the number of the first one that is alike, itself where none is."""
    waves = long_waves(frames)
    first = torch.arange(len(frames))
    invariants = _invariants(waves, False)
    for index, candidates in _candidates(invariants, invariants, TOLERANCE):
        leaders = candidates[(candidates < index) & (first[candidates] == candidates)][:MOST_CANDIDATES]
        if len(leaders):
            near = leaders[_distance(waves[index], waves[leaders], False) < TOLERANCE]
            if len(near):
                first[index] = near.min()
    return first.tolist()


def _deviation(waves: Complex[Tensor, "batch field *wave"]) -> Float[Tensor, "batch"]:
    """Return the size of what is not the mean."""
    square = waves.abs().square()
    centre = tuple(size // 2 for size in waves.shape[2:-1])
    square[(slice(None), slice(None), *centre, 0)] = 0
    return square.flatten(1).sum(1).sqrt()


def _invariants(waves: Complex[Tensor, "batch field *wave"], scaled: bool) -> Float[Tensor, "batch number"]:
    """Return what moving, mirroring and changing the sign leave as it is, in units of the deviation."""
    square = waves.abs().square()
    for dim in range(2, waves.ndim - 1):
        square = (square + square.flip(dim)) / 2
    size = _deviation(waves).clamp(min=1e-30)[:, None]
    sizes = square.sqrt().flatten(1) / size
    return sizes if scaled else torch.cat([sizes, size.log()], 1)


def _candidates(
    mine: Float[Tensor, "batch number"], known: Float[Tensor, "frame number"], tolerance: float
) -> Iterator[tuple[int, Int[Tensor, "candidate"]]]:
    """Yield the number of each of mine with those known ones whose invariants are near, the nearest first."""
    line = torch.rand(known.shape[1], generator=stream(0, "likeness"))
    line = line / line.norm()
    order = (known @ line).argsort()
    places = (known @ line)[order].contiguous()
    reach = 2 * tolerance  # a disturbance moves the deviation too
    low = torch.searchsorted(places, mine @ line - reach)
    high = torch.searchsorted(places, mine @ line + reach)
    for index, (start, stop) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        near = order[start:stop]
        distance = (known[near] - mine[index]).norm(dim=1)
        nearest = distance.argsort()[: int((distance < reach).sum())]
        if len(nearest):
            yield index, near[nearest]


def _distance(
    mine: Complex[Tensor, "field *wave"], known: Complex[Tensor, "frame field *wave"], scaled: bool
) -> Float[Tensor, "frame"]:
    """Return how far known frames stay from mine, over my deviation, after the best motion, mirror image and sign."""
    mine, known = mine.to(torch.complex128), known.to(torch.complex128)  # small differences of large squares
    size = _deviation(mine[None])[0]
    best = torch.full((len(known),), float("inf"), dtype=torch.float64)
    if not size > 0:
        return best
    axes = known.ndim - 2
    for mirrored in product((False, True), repeat=axes):
        image = _mirror(known, mirrored)
        factor = size / _deviation(image).clamp(min=1e-30) if scaled else torch.ones(len(known))
        overlap = factor * _overlap(mine, image)
        squares = mine.abs().square().sum() + factor**2 * image.abs().square().flatten(1).sum(1)
        best = torch.minimum(best, (squares - 2 * overlap).clamp(min=0).sqrt() / size)
    return best


def _mirror(
    waves: Complex[Tensor, "frame field *wave"], mirrored: tuple[bool, ...]
) -> Complex[Tensor, "frame field *wave"]:
    """Return the waves of the mirror image along some axes."""
    flips = [dim for dim, flip in enumerate(mirrored[:-1], 2) if flip != mirrored[-1]]
    image = waves.flip(flips) if flips else waves
    return image.conj().resolve_conj() if mirrored[-1] else image


def _overlap(
    mine: Complex[Tensor, "field *wave"], image: Complex[Tensor, "frame field *wave"]
) -> Float[Tensor, "frame"]:
    """Return the largest absolute inner product over all motions: on a grid first, then by Newton's method."""
    spread = (mine.conj() * image).sum(1)
    shape, flat = spread.shape[1:], spread.flatten(1)
    numbers = [torch.arange(size) - size // 2 for size in shape[:-1]] + [torch.arange(shape[-1])]
    waves = torch.stack([part.flatten() for part in torch.meshgrid(*numbers, indexing="ij")], 1).double()
    points = [8 * size for size in shape]
    steps = [2 * torch.pi * torch.arange(count, dtype=torch.float64) / count for count in points]
    for wave, step in zip(numbers, steps, strict=True):
        turn = torch.polar(torch.ones(1, dtype=torch.float64), wave.double()[:, None] * step)
        spread = torch.tensordot(spread, turn, dims=([1], [0]))  # the next axis comes first
    best = spread.real.flatten(1).abs().argmax(1)
    places = torch.stack(
        [step[index] for step, index in zip(steps, torch.unravel_index(best, tuple(points)), strict=True)], 1
    )
    for _ in range(4):
        turned = flat * torch.polar(torch.ones_like(flat.real), places @ waves.T)
        slope = -(turned.imag @ waves)
        curvature = -torch.einsum("nk,ka,kb->nab", turned.real, waves, waves)
        damping = 1e-9 * curvature.abs().amax((1, 2)).clamp(
            min=1e-30
        )  # along an axis without waves there is none
        curvature = curvature + torch.copysign(damping, curvature[:, 0, 0])[:, None, None] * torch.eye(
            len(shape)
        )
        places = places - torch.linalg.solve(curvature, slope)
    turned = flat * torch.polar(torch.ones_like(flat.real), places @ waves.T)
    return turned.real.sum(1).abs()
