"""Forecasts of the user's own trajectories: a file in, a file of the same layout out."""

from __future__ import annotations

from pathlib import Path

import torch

from ups import memory, record
from ups.data.export import write_like
from ups.data.file_source import FileSource
from ups.evaluation.rollout import rollout
from ups.files import require_output
from ups.models.misfits import misfits
from ups.progress import bar
from ups.record import PhysicsRecord
from ups.runs.saved import load
from ups.streams import stream
from ups.types import Trajectory, UserError

BATCH_SIZE = 64


def predict(
    run_dir: Path,
    source: FileSource,
    output: Path,
    *,
    num_steps: int = 40,
    start: int = -1,
    num_members: int = 1,
    stepper: str = "operator",
    force: bool = False,
    seed: int = 0,
) -> None:
    """Continue every trajectory of a file for `num_steps` frames and write them in the format of the file.

    The forecast begins after the frame `start` of the input (-1 is the last one), from as many of the frames up to
    it as the stepper uses; frame 0 of the output is that frame. An ensemble is written as its mean, and its members
    as `members` [trajectory, member, frame, field, cell].

    Raises:
        UserError: the file has another grid, dt or parameter than the training data and `force` is not set; it has
            too few frames; the forecast is not finite; the output exists and `force` is not set, or is an input.
    """
    require_output(output, source.file, force)
    if num_members > 1 and is_deterministic(run_dir, stepper):
        raise UserError(
            f"{run_dir}: {stepper} is deterministic, its {num_members} members would be equal; members=1"
        )
    model = load(run_dir, stepper)
    given = source.load()
    num_frames = given.values.shape[1]
    first = start if start >= 0 else num_frames + start
    if not 0 <= first < num_frames:
        raise UserError(f"{source.file[0]}: no frame {start}, the input has frames 0 to {num_frames - 1}")
    if first + 1 < model.num_context:
        raise UserError(
            f"{source.file[0]}: {stepper} needs {model.num_context} frames up to the start, there are {first + 1}"
        )
    if not force and (reasons := misfits(model, given)):
        raise UserError(f"{source.file[0]}: {'; '.join(reasons)}; --force forecasts all the same")

    need = 3.0 * given.values[:, 0].nbytes * num_members * (num_steps + 1)  # the members, and copies to write
    memory.require(need, "the forecast", "fewer steps, members or trajectories")
    context = given.window(0, first + 1)
    parts = []
    with bar("forecasting") as progress, torch.no_grad():
        for begin in range(0, len(given), BATCH_SIZE):
            batch = context.select(slice(begin, begin + BATCH_SIZE))
            generator = stream(seed, "predict", begin)
            plan = None if given.actions is None else given.actions[begin : begin + BATCH_SIZE]
            parts.append(rollout(model, batch.values, batch.params, num_steps, num_members, generator, plan))
            progress(min(1.0, (begin + BATCH_SIZE) / len(given)), "")
    members = torch.cat(parts, dim=1)
    finite = members.isfinite().flatten(2).all(-1).all(0)
    if not finite.all():
        lost = ", ".join(map(str, (~finite).nonzero()[:10, 0].tolist()))
        raise UserError(
            f"{source.file[0]}: the forecast blows up on trajectories {lost}; nothing was written"
        )
    initial = context.values[:, -1:]
    ensemble = torch.cat([initial.expand(num_members, *initial.shape), members], dim=2)
    extra = {"members": ensemble.transpose(0, 1)} if num_members > 1 else None
    made = Trajectory(ensemble.mean(0), given.params, given.fields, given.constants)
    write_like(source, output, made, extra)


def is_deterministic(run_dir: Path, name: str) -> bool:
    """Return whether a rung of a finished run forecasts one future; a run that is not finished does not tell."""
    found = record.read(run_dir)
    ladder = found.ladder if isinstance(found, PhysicsRecord) else ()
    return any(rung.folder == name and rung.num_members == 1 for rung in ladder)
