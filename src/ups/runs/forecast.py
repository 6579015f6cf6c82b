"""Forecasts from Python: arrays of any kind in, checked against what the stepper was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.data.find import source_for
from ups.evaluation import rollout as evaluation
from ups.models.misfits import Trained
from ups.types import Stepper, Trajectory, UserError


def read(file: str | Path | Sequence[Path], *settings: str) -> Trajectory:
    """Return the trajectories of a file of any format, e.g. `read("mine.npz", "dims=sample time x", "fields=[u]")`.

    `values` are [trajectory, time, field, *cells] in physical units, `params` [trajectory, parameter]; the settings
    are those of `ups data inspect`.

    Raises:
        UserError: the file is missing, damaged, or does not say enough of itself.
    """
    given = (Path(file),) if isinstance(file, str | Path) else tuple(map(Path, file))
    return source_for(given, settings).load()


def rollout(
    stepper: Stepper,
    context: Any,
    params: Any,
    num_steps: int,
    num_members: int = 1,
    generator: Generator | None = None,
    actions: Any = None,
) -> Float[Tensor, "member batch time field *space"]:
    """Return the `num_steps` frames that follow the context, in physical units, without gradients.

    `context` is an array [batch, time, field, *cells] of true frames, the last one where the forecast starts, at least
    `stepper.num_context` of them; `params` [batch, parameter], or [parameter] for all alike, or None where there are
    none. `actions` [batch, time, action] are for steppers that take them: one after each frame of the context, and
    one after each frame of the forecast but the last. Arrays of NumPy, lists and tensors of any precision will do.
    Parameters outside of the training are warned of.

    Raises:
        UserError: an array has another shape than the stepper was trained on, or holds NaN or Inf.
    """
    frames = _tensor(context, "context")
    known = stepper if isinstance(stepper, Trained) else None
    axes = len(known.fields.grid) if known else max(1, frames.ndim - 3)
    if frames.ndim != 3 + axes:
        raise UserError(
            f"context has shape {list(frames.shape)}; expected [batch, time, field{', cells' * axes}], all of them"
        )
    if known and (frames.shape[2], *frames.shape[3:]) != (len(known.fields), *known.fields.grid.shape):
        wanted = [len(known.fields), *known.fields.grid.shape]
        raise UserError(
            f"context has shape {list(frames.shape)}; the stepper knows the fields {', '.join(known.fields.names)} on "
            f"{known.fields.grid} cells, so it expects [batch, time, {', '.join(map(str, wanted))}]"
        )
    if frames.shape[1] < stepper.num_context:
        raise UserError(f"context has {frames.shape[1]} frames, the stepper needs {stepper.num_context}")
    rows = _params(params, len(frames), known)
    plan = None if actions is None else _tensor(actions, "actions")
    return evaluation.rollout(stepper, frames, rows, num_steps, num_members, generator, plan)


def _params(params: Any, batch: int, known: Trained | None) -> Float[Tensor, "batch param"]:
    rows = torch.zeros(batch, 0) if params is None else _tensor(params, "params")
    names = known.fields.params if known else ()
    count = len(names) if known else rows.shape[-1]
    if rows.ndim == 1 and len(rows) == count:
        rows = rows.expand(batch, count)
    if rows.shape != (batch, count):
        said = f" ({', '.join(names)})" if names else ""
        raise UserError(f"params have shape {list(rows.shape)}; expected [{batch}, {count}]{said}")
    if known:
        for name, column, (low, high) in zip(
            names, rows.unbind(1), known.normalizer.param_ranges(), strict=True
        ):
            slack = 1e-4 * max(abs(low), abs(high))
            if column.min() < low - slack or column.max() > high + slack:
                warnings.warn(
                    f"{name} is {column.min():g} to {column.max():g}, trained on {low:g} to {high:g}",
                    stacklevel=3,
                )
    return rows


def _tensor(array: Any, name: str) -> Tensor:
    try:
        found = torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} is no array of numbers: {error}") from None
    if found.is_complex():
        raise UserError(f"{name} is complex; real numbers are expected")
    found = found.float()
    if not found.isfinite().all():
        raise UserError(f"{name} holds NaN or Inf")
    return found
