"""Search as rungs: calibrated on validation data before it is paid for, beside what costs as much or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ups.config import nearest
from ups.evaluation.ladder import Kind
from ups.models.emulator import Emulator
from ups.models.law_operator import LawOperator
from ups.progress import bar
from ups.record import Fitted
from ups.runs.rungs import Below, Calibrated, RungSpec
from ups.runs.world_rungs import WorldSpec
from ups.search.calibrate import Windows, draw_windows, with_critic
from ups.search.choose import LEAST_TRAJECTORIES, choose, explain, one_step_errors, refusal
from ups.search.correction import LowerResidual, Projected
from ups.search.judge import Judge, features_of, rewards_of
from ups.search.known import Known
from ups.search.mean import MeanOf
from ups.search.rewards import require
from ups.search.search import Search, traced
from ups.search.settings import SearchSettings
from ups.solvers.equations import EQUATIONS
from ups.statistics.bootstrap import paired_bootstrap
from ups.types import Stepper, Trajectory, UserError

LEAST_RANKED = 8
"""Candidates, at least, among which a reward is asked to rank, however few a search draws."""

SEARCHES = ("mean_of_candidates", "search", "lower_residual", "projected")
"""The rungs that a search adds."""

TRACED = 20
"""Frames, at most, of the rollout whose every choice is kept."""


@dataclass(frozen=True)
class Source:
    """What the settings of the data say of their equation: its class, and the cells of the solver that made them."""

    equation_class: Any = None
    cells: tuple[int, ...] | None = None

    def known(self, below: Below) -> Known:
        """Return what may be known: the equation that is stated, or a law that was read off the data."""
        fields = below.train.fields
        if self.equation_class in EQUATIONS.values():
            return Known(fields, self.equation_class.__name__, self.cells)
        law = below.steppers.get("law")
        if (
            isinstance(law, Emulator)
            and isinstance(law.operator, LawOperator)
            and law.operator.law.kept.any()
        ):
            return Known(fields, law=law)
        return Known(fields)


@dataclass(frozen=True)
class MeanSpec(RungSpec):
    """The mean of as many members as a search has candidates: the control at equal calls."""

    name: str = "mean_of_candidates"
    kind: Kind = "ours"

    def label(self, stepper: Stepper) -> str:
        """Say whose mean it is."""
        return f"mean of {cast(MeanOf, stepper).count} of {self.on[0]}"

    def build(self, below: Below) -> MeanOf:
        """Return the mean of members of the first rung that draws candidates."""
        return MeanOf(below.steppers[self.on[0]], cast(SearchSettings, self.settings).num_candidates)


@dataclass(frozen=True)
class SearchSpec(RungSpec):
    """Of several candidates a frame, the one that a reward prefers; refused where no reward knows the error."""

    name: str = "search"
    kind: Kind = "ours"
    source: Source = Source()
    deterministic: tuple[str, ...] = ()
    """Those of the rungs it draws from that have one candidate."""

    def label(self, stepper: Stepper) -> str:
        """Say among how many, by what."""
        search = cast(Search, stepper)
        if search.num_candidates == 1:
            return "search, 1 candidate"
        reward = " + ".join(name.replace("_", " ") for name in cast(Judge, search.judge).factors)
        ahead = f", {search.beam} of them {search.settings.horizon} frames ahead" if search.ahead else ""
        return f"search, {search.num_candidates} by {reward}{ahead}"

    def build(self, below: Below) -> Search:
        """Return the search with rewards that are not yet calibrated.

        Raises:
            UserError: the settings do not fit the data, or what draws candidates.
        """
        settings = cast(SearchSettings, self.settings)
        frames = below.validation.values.shape[1]
        if settings.horizon >= frames:
            raise UserError(
                f"search: horizon={settings.horizon} is past the end of trajectories of {frames} frames"
            )
        known = self.source.known(below)
        rewards = rewards_of(known)
        require(settings.rewards, rewards)
        if "critic" in settings.rewards:
            width = features_of(known)(*_two_frames(below.validation)).shape[1]
            return self._search(below, Judge(known, settings.rewards, (0.0,) * width))
        return self._search(below, Judge(known, settings.rewards or {next(iter(rewards)): 1.0}))

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Choose the reward, its unit and the critic on half of the validation split; judge them on the other."""
        settings, search = cast(SearchSettings, self.settings), cast(Search, stepper)
        if search.num_candidates == 1:
            return Calibrated(search, guards=("one candidate: the plain rollout",))
        known = self.source.known(below)
        data = below.on_device(below.validation)
        with bar("calibrating search") as progress:
            windows = draw_windows(
                search.steppers,
                enough(search.counts),
                below.steppers["operator"],
                rewards_of(known),
                features_of(known),
                data,
                below.draws("search/calibrate"),
                progress,
            )
        chosen = choose(windows, settings.rewards)
        judged = with_critic(windows.of(chosen.judging), chosen.critic)
        critic = tuple(chosen.critic.tolist()) if "critic" in chosen.factors else ()
        made = self._search(below, Judge(known, chosen.factors, critic))
        enough_data = len(data) >= LEAST_TRAJECTORIES
        numbers, lines = explain(judged, chosen.factors) if enough_data else ({}, ())
        reason = "" if settings.force else refusal(numbers)
        lines += (
            f"{made.calls_per_frame} calls of networks a frame, at most; a plain forecast takes {made.costs[0]}",
        )
        lines += (f"refused: {reason}",) if reason else ()
        evidence = _evidence(windows) | ({} if reason else _trace(made, data, below))
        return Calibrated(made, None, lines, numbers, refused=reason, evidence=evidence)

    def _search(self, below: Below, judge: Judge) -> Search:
        settings = cast(SearchSettings, self.settings)
        steppers = [below.steppers[name] for name in self.on]
        alone = sum(name in self.deterministic for name in self.on)
        drawing = len(self.on) - alone
        if not drawing and settings.num_candidates > 1:
            raise UserError(f"search: {', '.join(self.on)} draws nothing, its candidates would be equal")
        shared = max(0, settings.num_candidates - alone)
        counts, given = [], 0
        for name in self.on:
            if name in self.deterministic:
                counts.append(1)
            else:
                counts.append(shared // drawing + (given < shared % drawing))
                given += 1
        try:
            return Search(steppers, counts, judge, settings)
        except ValueError as error:
            raise UserError(f"search: {error}") from None


@dataclass(frozen=True)
class LowerResidualSpec(RungSpec):
    """The operator, each frame moved onto the equation: no search, no draw."""

    name: str = "lower_residual"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("operator",)
    source: Source = Source()

    def label(self, stepper: Stepper) -> str:
        """Return the name in tables."""
        return "operator + residual lowered"

    def build(self, below: Below) -> LowerResidual:
        """Return the stepper; where no equation is known it is refused afterwards."""
        steps = cast(SearchSettings, self.settings).correction_steps
        return LowerResidual(below.steppers["operator"], self.source.known(below), steps)

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """See that it lowers the error one frame ahead."""
        operator = below.steppers["operator"]
        if self.source.known(below).residual is None:
            return Calibrated(stepper, refused="the equation of the data is neither stated nor read off them")
        if getattr(operator, "frames_read", 1) > 1:
            return Calibrated(
                stepper, refused="the operator's state knows more than the frame that would be moved"
            )
        made = self.build(below)  # a law is read by now
        return _if_it_pays(made, operator, below, cast(SearchSettings, self.settings).force)


@dataclass(frozen=True)
class ProjectedSpec(RungSpec):
    """The operator, each frame put back onto what the fields declare: integrals and signs."""

    name: str = "projected"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("operator",)

    def label(self, stepper: Stepper) -> str:
        """Return the name in tables."""
        return "operator, projected"

    def build(self, below: Below) -> Projected:
        """Return the stepper."""
        return Projected(below.steppers["operator"], below.train.fields)

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """See that it lowers the error one frame ahead."""
        force = cast(SearchSettings, self.settings).force
        return _if_it_pays(stepper, below.steppers["operator"], below, force)


def enough(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the counts, or more of the first, so that ranks can be told from noise."""
    return (counts[0] + max(0, LEAST_RANKED - sum(counts)), *counts[1:])


def candidates_from(settings: SearchSettings, drawing: Sequence[str]) -> tuple[str, ...]:
    """Return the rungs that draw candidates, those that have members first; `drawing` are all that do.

    Raises:
        UserError: there are none, or a rung is named that draws nothing.
    """
    best = [name for name in ("student", "corrector", *drawing) if name in drawing][:1]
    names, there = settings.candidates_from or tuple(best), [*drawing, "operator"]
    for name in names:
        if name not in there:
            raise UserError(f"search: '{name}' draws no candidates{nearest(name, there)}")
    if not drawing:
        raise UserError(
            "search: nothing draws candidates; it takes a run with a corrector, a student or a stochastic baseline"
        )
    return tuple(sorted(names, key=lambda name: name not in drawing))


def search_specs(settings: SearchSettings, source: Source, below: Sequence[RungSpec]) -> tuple[RungSpec, ...]:
    """Return the rungs of a search: its control at equal calls, and itself; `below` are those that there are.

    Raises:
        UserError: there is nothing to draw candidates from.
    """
    # a world model is steered by a plan, not searched over
    drawing = [spec.name for spec in below if spec.num_members > 1 and not isinstance(spec, WorldSpec)]
    names = candidates_from(settings, drawing)
    deterministic = tuple(name for name in names if name not in drawing)
    return (
        MeanSpec(on=names[:1], settings=settings),
        SearchSpec(on=names, settings=settings, source=source, deterministic=deterministic),
    )


def correction_specs(settings: SearchSettings, source: Source) -> tuple[RungSpec, ...]:
    """Return what needs no search: the operator moved onto its equation, and onto what its fields declare."""
    return LowerResidualSpec(settings=settings, source=source), ProjectedSpec(settings=settings)


def _if_it_pays(made: Any, operator: Stepper, below: Below, force: bool) -> Calibrated:
    data = below.on_device(below.validation)
    after, before = one_step_errors(made, data), one_step_errors(operator, data)
    if not np.isfinite(after).all():
        return Calibrated(made, refused="its frames are not finite")
    gain = paired_bootstrap(after, before)
    line = (
        f"one frame ahead on validation data it takes {100 * gain.mean:.3g} % off the operator's error "
        f"[{100 * gain.low:.3g}, {100 * gain.high:.3g}]"
    )
    pays = force or gain.low > 0
    return Calibrated(
        made, None, (line,), {"gain": gain.mean}, refused="" if pays else f"it does not pay: {line}"
    )


def _two_frames(data: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
    some = data.select(slice(0, 2))
    return some.values[:, 0], some.values[:, 1], some.params


def _evidence(windows: Windows) -> dict[str, np.ndarray]:
    """Return what the calibration saw, as arrays [horizon, window, candidate] and [window]."""
    arrays = {f"reward/{name}": values for name, values in windows.rewards.items()}
    arrays |= {
        "error": windows.errors,
        "error/mean": windows.mean_error,
        "error/operator": windows.base_error,
    }
    arrays |= {"distance": windows.distance, "trajectory": windows.trajectory}
    return {name: values.cpu().numpy() for name, values in arrays.items()}


@torch.no_grad()
def _trace(search: Search, data: Trajectory, below: Below) -> dict[str, np.ndarray]:
    """Return every choice of a rollout on validation data: rewards [step, candidate, trajectory], chosen and calls."""
    read = search.frames_read
    context = data.values[:, : min(read, data.values.shape[1] - 1)]
    num_steps = min(TRACED, data.values.shape[1] - context.shape[1])
    steps = list(traced(search, context, data.params, num_steps, below.draws("search/trace")))
    found = {
        name: torch.stack([getattr(step, name) for step in steps]) for name in ("rewards", "chosen", "calls")
    }
    found["spread"] = found["rewards"].std(1, correction=0)
    return {f"trace/{name}": values.cpu().numpy() for name, values in found.items()}
