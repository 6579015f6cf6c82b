"""The one loop that trains every stage. Read it from top to bottom."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast

import torch

from ups.config import digest as digest_of
from ups.data.windows import draw_windows
from ups.progress import Progress
from ups.record import Fitted
from ups.streams import stream
from ups.training import distributed, overfit, stability
from ups.training.allocator import keep_freed_memory
from ups.training.clock import work
from ups.training.plan import Plan, affordable, plan_seconds, plan_updates
from ups.training.settings import Fit
from ups.training.signals import Interrupted, noted
from ups.training.stages import Stage, fraction_left, gradient_reach
from ups.training.state import State, load_weights
from ups.training.store import StageStore, Store
from ups.training.trackers import Guarded, Tracker
from ups.training.update import Draw, Updater, check
from ups.types import Trajectory

__all__ = ["DivergenceError", "Fitted", "Interrupted", "fit"]

logger = logging.getLogger(__name__)

MOST_OVER = 1.1
"""Times a budget in seconds that the least training may take without a word."""

Validate = Callable[[], float]
Measured = dict[str, float]
Milestone = Callable[[State, bool], Measured]
"""Called after every update with the state and whether it was the last; what it returns is logged.

It looks at the state, leaves it as it is, and draws from streams of its own; it need not do anything.
"""


class DivergenceError(RuntimeError):
    """Too many updates were skipped: the run cannot go on."""


def fit(
    stage: Stage,
    train: Trajectory,
    store: Store,
    settings: Fit,
    seed: int,
    *,
    validate: Validate | None = None,
    held_out: Trajectory | None = None,
    draw: Draw = draw_windows,
    milestone: Milestone | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
    digest: str = "",
    starts_as_answer: bool = False,
) -> Fitted:
    """Train a stage; at the end its model holds the averaged weights that validated best.

    If its start is an answer already (a law), that is scored too, and kept if nothing better follows.

    Randomness comes from the streams (seed, "batch", update), so that stages with equal windows see the same
    batches, and (seed, name of the stage, update). What `store` holds of the same stage is gone on with, on the
    CPU bit for bit; a finished stage returns at once. `digest` stands for what the stage and the data were made
    from. `validate` scores the model as it stands; smaller is better. On `held_out` the loss is measured along with
    the scores, next to that on training windows (see `overfit`); neither changes an update, and nor does `milestone`,
    whose time is not counted. Under torchrun each process takes its part of every batch.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; a checkpoint is saved.
        DivergenceError: more than `settings.max_skips` updates were skipped.
    """
    distributed.start()
    keep_freed_memory()
    shelf = store.stage(stage.name, digest_of([digest, settings.model_dump(mode="json"), seed]))
    finished = distributed.broadcast(shelf.finished)
    if finished is not None:
        load_weights(stage.model, finished[0])
        stage.model.eval()
        return Fitted(**finished[1]["fitted"])

    settings = settings.sized(math.prod(train.fields.grid.shape))
    update = Updater(stage, train, settings, seed, draw)
    check(stage, train, settings)
    state = State.start(stage.model, settings)
    measure = partial(_measure, state, update, validate, held_out)
    plan = _resume(state, shelf) or _begin(state, shelf, update, measure)
    watch = Guarded(tracker if distributed.is_main() else None)
    watch.start(stage.name, settings.model_dump(mode="json"))
    if starts_as_answer and validate is not None and state.update == 0:
        state.keep_if_best(measure()["validation"])
    clock = saved = time.monotonic()
    spent = work(update.device)

    with noted() as signals:
        stage.model.train()
        while not _ends(state, plan, settings):
            used = plan.progress(state.update)
            row = update(state, used)
            measured = measure() if plan.validates(state.update) else {}
            if "validation" in measured:
                state.keep_if_best(measured["validation"])
            now = time.monotonic()
            state.seconds, clock = state.seconds + now - clock, now
            done = work(update.device)
            state.cpu_seconds, spent = state.cpu_seconds + done - spent, done
            if milestone is not None and distributed.is_main():
                measured |= milestone(state, _ends(state, plan, settings))
                clock, spent = time.monotonic(), work(update.device)

            if row["gradient"] > settings.warn_gradient:
                logger.warning(
                    "%s: gradient norm %.3g at update %d", stage.name, row["gradient"], state.update
                )
            if state.update % settings.log_every == 0 or measured or row["skipped"]:
                row = {
                    "progress": used,
                    "seconds": state.seconds,
                    "cpu_seconds": state.cpu_seconds,
                    **row,
                    **measured,
                }
                shelf.append({"update": state.update, **row})
                watch.log(row, state.update)
            if progress is not None and distributed.is_main():
                share = row["loss"] / row["trivial"] if row["trivial"] else math.inf
                text = f"loss {share:.3g} of trivial, {state.speed:.3g} updates/s"
                progress(plan.progress(state.update), text)
            if state.num_skipped > settings.max_skips:
                raise DivergenceError(
                    f"stage '{stage.name}' stopped at update {state.update} of {plan.num_updates}: "
                    f"{state.num_skipped} updates were skipped, the last with gradient norm {row['gradient']:.3g} "
                    f"and loss {row['loss']:.3g}; try a lower learning_rate (now {settings.learning_rate:g})"
                )
            stop = distributed.agree(signals.signum != 0)
            if stop or now - saved > settings.checkpoint_every_seconds:
                shelf.write_checkpoint(state.tensors(), state.numbers())
                saved = now
            if stop:
                where = f"in stage '{stage.name}' after update {state.update} of {plan.num_updates}"
                raise Interrupted(signals.signum or signal.SIGTERM, where)

        was_scored = bool(state.best)
        if not was_scored:
            state.keep()
        load_weights(stage.model, state.best)
        stage.model.eval()
        kept = state.best_update if was_scored else state.update
        fitted = Fitted(
            updates=state.update,
            seconds=round(state.seconds, 3),
            cpu_seconds=round(state.cpu_seconds, 3),
            planned_seconds=plan.seconds,
            skill=_skill(update, plan),
            score=state.best_score if was_scored else None,
            best_update=kept,
            num_skipped=state.num_skipped,
            num_parameters=sum(average.numel() for average in state.ema.average.values()),
            stopped_early=state.update < plan.num_updates,
            finding=distributed.broadcast(lambda: _finding(shelf.rows(), plan.num_updates, kept)),
        )
        shelf.finish(state.best, {"fitted": asdict(fitted)})
    watch.end()
    if fitted.finding is not None and distributed.is_main():
        logger.warning("stage '%s': %s", stage.name, fitted.finding)
    return fitted


def _finding(rows: Sequence[Mapping[str, Any]], num_updates: int, kept: int) -> str | None:
    """Return what the watches say of a finished log."""
    said = overfit.finding(rows, num_updates, kept), stability.finding(rows, kept)
    return "; ".join(filter(None, said)) or None


def _ends(state: State, plan: Plan, settings: Fit) -> bool:
    """Return whether there is no update left, or no patience."""
    return state.update >= plan.num_updates or state.since_best >= (settings.patience or math.inf)


def _resume(state: State, shelf: StageStore) -> Plan | None:
    """Return the stored plan, if there is one, with the state at the last checkpoint."""
    record = distributed.broadcast(shelf.plan)
    if record is None:
        shelf.forget()  # what a log or a checkpoint says of another plan
        return None
    state.seconds, state.cpu_seconds = record["calibration_seconds"], record["calibration_work"]
    checkpoint = distributed.broadcast(shelf.checkpoint)
    if checkpoint is not None:
        state.restore(*checkpoint)
    shelf.rewind(state.update)
    phases = tuple(record["starts"]), tuple(record["phase_updates"])
    return Plan(*phases, record["seconds"], record["num_validations"])


def _begin(state: State, shelf: StageStore, update: Updater, measure: Callable[[], Measured]) -> Plan:
    """Prove that the loss reaches every parameter, then plan and write the plan down."""
    begin, begun = time.monotonic(), work(update.device)
    settings, stage = update.settings, update.stage
    generator = stream(update.seed, f"{stage.name}/reach", 0, update.device)
    gradient_reach(stage, update.batch(0, stage.window(1.0)), generator)
    starts = tuple(start for start, _ in settings.unroll)
    if settings.seconds is None:
        plan = plan_updates(cast(int, settings.updates), starts)
        validations = settings.num_validations
    else:
        seconds = settings.seconds
        rehearsed = update.rehearse(seconds)
        calibrated = work(update.device)
        measure()
        each = work(update.device) - calibrated
        validations = distributed.broadcast(lambda: affordable(settings.num_validations, seconds, each))
        overhead = calibrated - begun + each * (validations + 1)
        costs = tuple(rehearsed[stage.window(start)] for start in starts)
        plan = distributed.broadcast(lambda: plan_seconds(seconds, starts, costs, overhead))
        least = overhead + sum(n * cost for n, cost in zip(plan.phase_updates, costs, strict=True))
        if least > MOST_OVER * seconds:
            logger.warning(
                "stage '%s': %.3g s are not enough for an update of each phase and %d validations, which take %.3g s; "
                "raise the budget, or lower num_validations or unroll",
                *(stage.name, seconds, validations, least),
            )
    plan = replace(plan, num_validations=validations)
    state.seconds, state.cpu_seconds = time.monotonic() - begin, work(update.device) - begun
    shelf.write_plan(
        asdict(plan) | {"calibration_seconds": state.seconds, "calibration_work": state.cpu_seconds}
    )
    return plan


def _measure(
    state: State, update: Updater, validate: Validate | None, held_out: Trajectory | None
) -> Measured:
    """Score the averaged weights and measure their loss on frozen windows, in the main process."""

    def measured() -> Measured:
        row = {} if held_out is None else overfit.measure(update, held_out)
        if validate is not None:
            row["validation"] = validate()
        elif held_out is not None and update.settings.patience is not None:
            row["validation"] = row["held_out"]
        return row

    with state.ema.swapped_in(), torch.no_grad():
        state.model.eval()
        row = distributed.broadcast(measured)
        state.model.train()
    return row


def _skill(update: Updater, plan: Plan) -> float:
    """Return loss over trivial loss of the model as it stands, on four batches that come after those of the run."""
    window = update.stage.window(plan.progress(plan.num_updates))
    name = f"{update.stage.name}/skill"
    batches = range(plan.num_updates, plan.num_updates + 4)
    return fraction_left(
        update.stage,
        ((update.batch(i, window), stream(update.seed, name, i, update.device)) for i in batches),
    )
