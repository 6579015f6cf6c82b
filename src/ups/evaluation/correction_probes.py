"""The curvature of what stands on an operator: a corrector on frozen residuals, a student on its teacher's walk."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from ups.diffusion.times import stratified
from ups.evaluation.denoiser_probes import Depth, Frozen
from ups.models.corrector import Corrector, Given, pure_noise
from ups.models.student import Student
from ups.probes.curvature import Objective
from ups.probes.frozen import ProbeSet, freeze, still
from ups.probes.products import Params
from ups.streams import stream

GIVEN = ("state and forecast", "params")
"""The names of what a correction is given in its probe set."""


def frozen_corrector(
    corrector: Corrector, given: Given, residual: Float[Tensor, "batch token dim"], depth: Depth
) -> Frozen:
    """Return a corrector's denoiser on residuals, in units of the tokens, each with a noise and a time."""
    known = freeze(residual / corrector.spectrum.std, stratified(), depth.seed, depth.num_vectors)
    tensors = {**known.tensors, **dict(zip(GIVEN, given, strict=True))}
    found = ProbeSet(tensors, depth.seed, depth.num_vectors)
    return Frozen(corrector.denoiser, found, depth.precision, GIVEN)


@torch.no_grad()
def walk_set(teacher: Corrector, given: Given, num_steps: int, depth: Depth) -> ProbeSet:
    """Return where a teacher's walk of `num_steps` hops from frozen noise begins, passes its middle, and ends.

    Three jumps of each walk, one after another: the whole, the first half, the second half.
    """
    generator = stream(depth.seed, "probes/walk")
    like = given[0][..., : len(teacher.spectrum.std)]
    noise, grid = pure_noise(teacher.denoiser.process, like, generator), teacher.grid(num_steps).to(like)
    hop, points = teacher.flow_map(given, generator), [noise]
    for t, s in pairwise(grid):
        points.append(hop(points[-1], t.expand(len(noise)), s.expand(len(noise))))
    middle = num_steps // 2
    jumps = ((0, num_steps), (0, middle), (middle, num_steps))
    tensors = {
        "start": torch.cat([points[first] for first, _ in jumps]),
        "end": torch.cat([points[last] for _, last in jumps]),
        "t": torch.cat([grid[first].expand(len(noise)) for first, _ in jumps]),
        "s": torch.cat([grid[last].expand(len(noise)) for _, last in jumps]),
    }
    tensors |= {
        name: tensor.repeat(3, *[1] * (tensor.ndim - 1)) for name, tensor in zip(GIVEN, given, strict=True)
    }
    return ProbeSet(tensors, depth.seed, depth.num_vectors)


def jump_objectives(
    student: Student, walk: ProbeSet, precision: Literal["float32", "float64"]
) -> tuple[Objective, Params, dict[str, Objective]]:
    """Return the mean squared miss of a student's jumps on its teacher's walk, its parameters, and each jump alone.

    It is asked of every student, whatever loss it was trained with: so students of one teacher compare.
    """
    dtype = getattr(torch, precision)
    twin, params = still(student.jump, dtype)
    tensors = walk.to(next(iter(params.values())).device, dtype)
    size = len(tensors["end"]) // 3

    def part(name: str, rows: slice) -> Objective:
        asked = [tensors[key][rows] for key in ("start", "t", "s", *GIVEN)]
        end = tensors["end"][rows]

        def outputs(weights: Params) -> Tensor:
            return functional_call(twin, weights, tuple(asked))

        def loss(landed: Tensor) -> Tensor:
            return (landed - end).square().mean()

        return Objective(name, outputs, loss)

    name = "jumps of the teacher's walk"
    places = {"whole": slice(size), "first half": slice(size, 2 * size), "second half": slice(2 * size, None)}
    jumps = {key: part(f"{name}, {key}", rows) for key, rows in places.items()}
    return part(name, slice(None)), params, jumps
