"""The rungs as data: from what each is built, how it is trained, what is made ready before and calibrated after.

A spec never sees the test split: what it may know is `Below`. To add a rung, write a spec in a file of its own and
name it in the `rungs` of a `Run`; nothing else changes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import numpy as np
from torch import Generator, nn

from ups.config import Settings
from ups.data.climatology import Climatology
from ups.evaluation.ladder import Kind, error, leading_protocol, match
from ups.models.baselines import Persistence
from ups.models.colored_noise import ColoredNoise
from ups.models.corrector import Corrected, CorrectorSettings
from ups.models.emulator import Emulator
from ups.models.law_operator import LawOperator
from ups.models.law_words import written
from ups.models.normalizer import Normalizer
from ups.models.residual import ResidualSpectrum
from ups.models.step_residual import of_equation
from ups.models.stochastic import StochasticBaseline
from ups.models.student import StudentSettings
from ups.progress import bar
from ups.record import Fitted
from ups.solvers.stepper import Coarse
from ups.streams import stream
from ups.training import distributed
from ups.training.corrector_stages import Correct, explain, judge
from ups.training.ensemble_stages import CRPSForecast
from ups.training.losses import Losses
from ups.training.power import match_power
from ups.training.residuals import residual_spectrum
from ups.training.settings import Fit
from ups.training.stages import Forecast, Stage
from ups.training.start import look_at
from ups.training.student_judge import explain_student, judge_student
from ups.training.student_stages import Distill
from ups.types import Stepper, Trajectory, UserError


@dataclass(frozen=True)
class Below:
    """All that a rung may know: the splits that are not scored, what is fitted on them, and the rungs below."""

    train: Trajectory
    validation: Trajectory
    normalizer: Normalizer
    codec: Any
    seed: int
    steppers: Mapping[str, Stepper] = field(default_factory=dict)

    def stream(self, name: str, counter: int = 0) -> Generator:
        """Return the stream of random numbers of that name, for weights: on the CPU."""
        return stream(self.seed, name, counter)

    def draws(self, name: str) -> Generator:
        """Return the stream of that name on the device of the networks."""
        return stream(self.seed, name, device=distributed.device())

    def on_device(self, data: Trajectory) -> Trajectory:
        """Return a split on the device of the networks."""
        return data.to(distributed.device())

    def under(self, name: str, stepper: Stepper) -> Below:
        """Return what the next rung may know: this one too."""
        return replace(self, steppers={**self.steppers, name: stepper})


class Calibrated(NamedTuple):
    """A stepper as it will be scored (or a codec), and what it had to show: in words, and the numbers behind them.

    One that is `refused`, for the reason that it gives, is neither saved nor scored. `evidence` is kept beside it.
    """

    stepper: Any
    fitted: Fitted | None = None
    guards: tuple[str, ...] = ()
    judged: Mapping[str, float] = {}
    refused: str = ""
    evidence: Mapping[str, np.ndarray] = {}


@dataclass(frozen=True)
class RungSpec:
    """One rung as data; the defaults are those of a rung that has nothing to train.

    `name` is its folder in `stages/`, its random streams and what others stand `on`; `label` is what tables call it.
    """

    name: str
    kind: Kind
    on: tuple[str, ...] = ()
    training: Fit | None = None
    num_members: int = 1
    settings: Any = None

    @property
    def made_from(self) -> tuple[Settings, ...]:
        """The settings that its weights depend on, besides those of its training and of what it stands on."""
        return () if self.settings is None else (self.settings,)

    def label(self, stepper: Stepper) -> str:
        """Return the name in tables."""
        return (
            self.name.replace("_", " ") if self.kind in ("trivial", "reference", "reference") else self.name
        )

    def build(self, below: Below) -> Stepper:
        """Return the stepper, untrained.

        Raises:
            UserError: it does not fit the data or what is below.
        """
        raise NotImplementedError

    def prepare(self, stepper: Any, below: Below) -> None:
        """Take from the data what needs no gradient, before the training."""

    def stage(self, stepper: Any, below: Below) -> Stage | None:
        """Return how it is trained, or None if there is nothing to train."""
        return None

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Return the stepper as it will be scored, after the training."""
        return Calibrated(stepper, fitted)


@dataclass(frozen=True)
class PersistenceSpec(RungSpec):
    """Nothing changes."""

    name: str = "persistence"
    kind: Kind = "trivial"

    def build(self, below: Below) -> Stepper:
        """Return the stepper."""
        return Persistence()


@dataclass(frozen=True)
class SolverSpec(RungSpec):
    """The classical solver on the coarsest grid that is as accurate as the rung that it is matched with."""

    name: str = "solver"
    kind: Kind = "solver"
    equation: Any = None
    cells: tuple[int, ...] = ()
    matched_with: str = "operator"

    def label(self, stepper: Stepper) -> str:
        """Say the grid that was chosen."""
        return f"solver, {cast(Coarse, stepper).num_cells} cells"

    def build(self, below: Below) -> Coarse:
        """Return the solver on the coarsest grid; the choice follows when there is something to match."""
        return self._on(self.cells[0], below.validation)

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Choose the grid on the validation split."""
        data = below.validation
        protocol = leading_protocol(data.values.shape[1])
        target = error(below.steppers[self.matched_with], below.on_device(data), protocol)
        grids = (self._on(cells, data) for cells in self.cells)
        return Calibrated(match(grids, data, protocol, target)[1])

    def _on(self, cells: int, data: Trajectory) -> Coarse:
        return Coarse(self.equation, data.fields, cells, samples_are_points=True)


@dataclass(frozen=True)
class BaselineSpec(RungSpec):
    """A network that one would otherwise pick: trained by the same loss, on the same batches, with the same budget."""

    kind: Kind = "baseline"

    def build(self, below: Below) -> Stepper:
        """Return the untrained network."""
        built = self.settings.build(below.train.fields, below.normalizer, below.stream(self.name))
        return built.to(distributed.device())

    def stage(self, stepper: Any, below: Below) -> Stage:
        """Return a forecast's stage; a stochastic network has the CRPS of its members for a loss."""
        how = cast(Fit, self.training)
        if isinstance(stepper, StochasticBaseline):
            settings = stepper.settings
            return CRPSForecast(self.name, stepper, how.unroll, settings.num_members, settings.fairness)
        return Forecast(self.name, stepper, how.unroll, how.noise)


@dataclass(frozen=True)
class LawSpec(RungSpec):
    """The law that a regression reads off the training split, untrained: what the operator starts from."""

    name: str = "law"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("codec",)
    operator: Any = None

    @property
    def made_from(self) -> tuple[Settings, ...]:
        """Its own settings."""
        return (self.operator,)

    def build(self, below: Below) -> Emulator:
        """Return the emulator, its law still to be read."""
        fields = below.train.fields
        operator = self.operator.build(below.codec, fields, below.stream("operator"))
        emulator = Emulator(below.normalizer, below.codec, operator, fields)
        return emulator.to(distributed.device())

    def prepare(self, stepper: Any, below: Below) -> None:
        """Read the law, or the waves that the data have, off the training split; a law below was read before."""
        if (law := below.steppers.get("law")) and "law" in self.on:
            stepper.operator.take(cast(Emulator, law).operator)
        else:
            with bar(f"reading {self.name}") as progress:
                look_at(stepper, below.train, progress)

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Fix its numbers: what comes on top leaves it as it is. A law in terms is written down."""
        stepper.requires_grad_(False)
        operator, lines = stepper.operator, ()
        if isinstance(operator, LawOperator):
            lines = tuple(written(operator.law, stepper.fields, stepper.normalizer, operator.left.item()))
        return Calibrated(stepper, fitted, lines)


@dataclass(frozen=True)
class OperatorSpec(LawSpec):
    """Our network, or the law as it is after training."""

    name: str = "operator"
    losses: Losses = field(default_factory=Losses)
    equation: Any = None
    cells: tuple[int, ...] | None = None

    @property
    def made_from(self) -> tuple[Settings, ...]:
        """Its own settings, and those of the further terms of its loss where there are any."""
        return (self.operator,) if self.losses == Losses() else (self.operator, self.losses)

    def build(self, below: Below) -> Emulator:
        """Return the emulator; if the codec goes on learning, on a codec of its own.

        Raises:
            UserError: the codec has nothing to learn.
        """
        if not self.losses.joint:
            return super().build(below)
        codec = copy.deepcopy(below.codec).requires_grad_(True)
        if not list(codec.parameters()):
            raise UserError("setting 'losses.joint': the codec has nothing to learn; take another codec.kind")
        return super().build(replace(below, codec=codec))

    def stage(self, stepper: Any, below: Below) -> Stage | None:
        """Return a forecast's stage, or None if nothing can be trained."""
        how = cast(Fit, self.training)
        if not any(p.requires_grad for p in cast(nn.Module, stepper.operator).parameters()):
            return None
        losses, residual = self.losses, None
        if losses.physics and self.equation is not None:
            residual = of_equation(self.equation, below.train.fields, self.cells)
        terms = losses.terms(stepper, residual)
        return Forecast(self.name, stepper, how.unroll, how.noise, terms, losses.warmup, losses.share)


@dataclass(frozen=True)
class CorrectorSpec(RungSpec):
    """The generative model of what the operator gets wrong."""

    name: str = "corrector"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("operator",)

    def build(self, below: Below) -> Corrected:
        """Return the untrained corrector on the operator."""
        emulator = cast(Emulator, below.steppers["operator"])
        unknown = ResidualSpectrum.white(emulator.codec)
        settings = cast(CorrectorSettings, self.settings)
        return settings.build(emulator, unknown, below.stream(self.name)).to(distributed.device())

    def prepare(self, stepper: Any, below: Below) -> None:
        """Measure the residuals on the validation split: on what it was trained on an operator errs less."""
        validation = below.on_device(below.validation)
        spectrum = residual_spectrum(stepper.emulator, validation, self.settings.rolled_steps)
        stepper.correction.spectrum.load_state_dict(spectrum.state_dict())

    def stage(self, stepper: Any, below: Below) -> Stage:
        """Return the denoiser's stage."""
        return Correct(self.name, stepper)

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Give the draws the power of the residuals, and say what was learned."""
        train, validation = below.on_device(below.train), below.on_device(below.validation)
        fitted = match_power(
            self.name, stepper, train, cast(Fitted, fitted), below.draws(f"{self.name}/power")
        )
        found = judge(Correct(self.name, stepper), train, validation, below.draws(f"{self.name}/judge"))
        stepper.requires_grad_(False)
        return Calibrated(stepper, fitted, tuple(explain(found)), found)


@dataclass(frozen=True)
class ColoredNoiseSpec(RungSpec):
    """The ensemble to beat: the operator plus noise of the residuals' spectrum."""

    name: str = "colored_noise"
    kind: Kind = "baseline"
    on: tuple[str, ...] = ("operator",)

    def label(self, stepper: Stepper) -> str:
        """Return the name in tables."""
        return "operator + colored noise"

    def build(self, below: Below) -> ColoredNoise:
        """Return the stepper, with the spectrum that the corrector was given."""
        corrected = cast(Corrected, below.steppers["corrector"])
        return ColoredNoise(corrected.emulator, corrected.correction.spectrum)


@dataclass(frozen=True)
class StudentSpec(RungSpec):
    """The corrector in one or two network calls."""

    name: str = "student"
    kind: Kind = "ours"
    on: tuple[str, ...] = ("corrector",)

    def build(self, below: Below) -> Corrected:
        """Return the untrained student, with the weights of its teacher."""
        settings = cast(StudentSettings, self.settings)
        return settings.build(cast(Corrected, below.steppers["corrector"]))

    def stage(self, stepper: Any, below: Below) -> Stage:
        """Return the distillation."""
        return Distill(self.name, stepper, cast(Corrected, below.steppers["corrector"]))

    def calibrate(self, stepper: Any, fitted: Fitted | None, below: Below) -> Calibrated:
        """Give the draws the power of the residuals, and say whether they are those of the teacher."""
        train, validation = below.on_device(below.train), below.on_device(below.validation)
        generator = below.draws(f"{self.name}/power")
        fitted = match_power(self.name, stepper, train, cast(Fitted, fitted), generator)
        teacher = cast(Corrected, below.steppers["corrector"])
        found = judge_student(stepper, teacher, validation, below.draws(f"{self.name}/judge"))
        return Calibrated(stepper, fitted, tuple(explain_student(found)), found)


@dataclass(frozen=True)
class ClimatologySpec(RungSpec):
    """A random last frame of the training split, whatever a problem starts from."""

    name: str = "climatology"
    kind: Kind = "trivial"

    def build(self, below: Below) -> Climatology:
        """Return the stepper; it draws from the training split alone."""
        return Climatology(below.train.values[:, -1].clone(), below.train.params)


@dataclass(frozen=True)
class PerfectSpec(RungSpec):
    """The solver that made the data, with other random numbers: no forecast can expect to be better."""

    name: str = "perfect_ensemble"
    kind: Kind = "reference"
    source: Any = None

    def build(self, below: Below) -> Stepper:
        """Return the stepper."""
        return self.source.perfect()
