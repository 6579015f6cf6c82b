"""One update: the batch, its gradient, the watch over it, the step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Generator, nn
from torch.nn.parallel import DistributedDataParallel

from ups.data import symmetries
from ups.streams import stream
from ups.training import distributed
from ups.training.clock import work
from ups.training.optim import clip_gradient, learning_rate, set_learning_rate, trainable
from ups.training.plan import measure
from ups.training.settings import Fit
from ups.training.stages import Loss, Stage, Weighted
from ups.training.state import State
from ups.types import Trajectory, UserError

REHEARSAL = 0.1
"""Part of a budget that timing updates may take, but for the shortest window."""

Draw = Callable[[Trajectory, int, int, Generator], Trajectory]


class StageLoss(nn.Module):
    """The loss of a stage as a module, which is what torch's DDP and compiler take."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.model = stage.model

    def forward(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the loss of each window and its parts."""
        return self.stage.loss(batch, generator)


@dataclass(frozen=True)
class Updater:
    """Draws the batch of an update and takes the step; everything is a function of (seed, update, state)."""

    stage: Stage
    train: Trajectory
    settings: Fit
    seed: int
    draw: Draw

    def batch(self, update: int, length: int) -> Trajectory:
        """Return the windows of one update, for all processes together; equal for all stages of one seed."""
        generator = stream(self.seed, "batch", update)
        windows = self.draw(self.train, self.settings.batch_size, length, generator)
        return symmetries.augment(windows, self.settings.symmetries, generator).to(self.device)

    def __call__(self, state: State, progress: float) -> dict[str, float]:
        """Make one update and return what happened: losses, gradient norm, learning rate, skipped (0 or 1).

        A gradient that is not finite or above `skip_gradient` leaves weights and moments as they are.
        """
        parameters = list(trainable(state.model).values())
        row = distributed.mean(self._gradient(state.update, progress))
        norm = clip_gradient(parameters, self.settings.clip)
        rate = learning_rate(self.settings, state.update, progress)
        skip = not (norm <= self.settings.skip_gradient and math.isfinite(row["loss"]))
        if not skip:
            set_learning_rate(state.optimizer, rate)
            state.optimizer.step()
            state.ema.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.update += 1
        state.num_skipped += skip
        return row | {"gradient": norm, "learning_rate": rate, "skipped": float(skip)}

    def _gradient(self, update: int, progress: float) -> dict[str, float]:
        """Leave the gradient of this process' part of the batch on the parameters; return the mean losses."""
        batch = self.batch(update, self.stage.window(progress))
        num_parts = self.settings.accumulation
        size = len(batch) // (num_parts * distributed.world_size())
        sums: dict[str, torch.Tensor] = {}
        for part in range(distributed.rank() * num_parts, (distributed.rank() + 1) * num_parts):
            generator = stream(self.seed, f"{self.stage.name}/{part}", update, self.device)
            windows = batch.select(slice(part * size, (part + 1) * size))
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"
            ):
                loss, parts = self._loss(windows, generator)
            total = loss
            if isinstance(self.stage, Weighted):
                for name, weight in self.stage.weights(progress).items():
                    total = total + weight * parts[name]
            (total.mean() / num_parts).backward()
            for name, values in {"loss": loss, **parts}.items():
                sums[name] = sums.get(name, 0) + values.detach().mean() / num_parts
        return dict(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))

    @cached_property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.stage.model.parameters()).device

    @cached_property
    def _loss(self) -> nn.Module:
        loss: nn.Module = StageLoss(self.stage)
        if distributed.world_size() > 1:
            loss = DistributedDataParallel(loss)
        return torch.compile(loss) if self.settings.compile else loss  # ty: ignore[invalid-explicit-return]

    def rehearse(self, budget: float) -> dict[int, float]:
        """Return the work of one update for each length of window, measured on copies that are thrown away.

        Once the rehearsal has taken `REHEARSAL` of the budget, longer windows are taken to cost in proportion to their
        steps: it must not eat what it plans.
        """
        seconds: dict[int, float] = {}
        clock = partial(work, self.device)
        begun, first = clock(), self.stage.window(0.0)
        for start, _ in self.settings.unroll:
            window = self.stage.window(start)
            if window in seconds:
                continue
            if seconds and clock() - begun > REHEARSAL * budget:
                seconds[window] = seconds[first] * (window - first + 1)
                continue
            again = replace(self, stage=copy.deepcopy(self.stage))
            state = State.start(again.stage.model, self.settings)
            seconds[window] = measure(partial(again, state, start), budget, clock)
        return seconds


def check(stage: Stage, train: Trajectory, settings: Fit) -> None:
    """See that windows fit into data in which something changes, and symmetries and processes to the batches.

    Raises:
        UserError: they do not.
    """
    length = max(stage.window(start) for start, _ in settings.unroll)
    num_frames = train.values.shape[1]
    if num_frames < length:
        raise UserError(
            f"stage '{stage.name}': trajectories have {num_frames} frames but the longest window needs {length}; "
            "shorten 'unroll' or the context"
        )
    if length > 1 and bool((train.values[:, 1:] == train.values[:, :-1]).all()):
        raise UserError(
            f"stage '{stage.name}': in the training trajectories nothing changes from frame to frame, so there is "
            "nothing to learn; other parameters, another dt, or other data"
        )
    if settings.symmetries:
        symmetries.check(train, settings.symmetries)
    parts = settings.accumulation * distributed.world_size()
    if settings.batch_size % parts:
        raise UserError(
            f"stage '{stage.name}': batch_size {settings.batch_size} is no multiple of {parts} "
            "(processes x accumulation)"
        )
