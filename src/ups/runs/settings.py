"""The settings of a run, and the ladder that they make: which rungs, in which order, from what."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from ups.config import Settings, nearest
from ups.data.arrays import Arrays
from ups.data.controlled import Controlled
from ups.data.file_source import FileSource
from ups.data.pdebench import PDEBench
from ups.data.simulated import Simulated
from ups.data.well import Well
from ups.models.autoencoder import AutoencoderSettings, IdentityPatches
from ups.models.baselines import DilatedResNet, PDEBenchFNO, TunedFNO, UNet
from ups.models.corrector import CorrectorSettings
from ups.models.dynamics import DynamicsSettings
from ups.models.flux_law import FluxLaw
from ups.models.law_network import LawNetwork
from ups.models.law_operator import Law
from ups.models.operator import OperatorSettings, SpectralFlux
from ups.models.stochastic import StochasticOperator
from ups.models.student import StudentSettings
from ups.runs.rungs import (
    BaselineSpec,
    ClimatologySpec,
    ColoredNoiseSpec,
    CorrectorSpec,
    LawSpec,
    OperatorSpec,
    PerfectSpec,
    PersistenceSpec,
    RungSpec,
    SolverSpec,
    StudentSpec,
)
from ups.runs.search_rungs import SEARCHES, Source, candidates_from, correction_specs, search_specs
from ups.runs.world_rungs import world_specs
from ups.search.settings import SearchSettings
from ups.training.losses import Losses
from ups.training.settings import Fit, Positive

DataSettings = Annotated[Simulated | Controlled | PDEBench | Well | Arrays, Field(discriminator="kind")]

BASELINES = (PDEBenchFNO, TunedFNO, DilatedResNet, UNet, StochasticOperator)
BaselineSettings = Annotated[
    PDEBenchFNO | TunedFNO | DilatedResNet | UNet | StochasticOperator, Field(discriminator="kind")
]


NAMES = {
    "codec",
    "network",
    "solver",
    "law",
    "corrector",
    "colored_noise",
    "student",
    "climatology",
    "perfect_ensemble",
    "world",
    "world_mean",
    "persistence",
    "operator",
    *SEARCHES,
}
"""What rungs are called that are no baselines."""


class Run(Settings):
    """All that a run depends on; a recipe is a function that returns one."""

    data: DataSettings
    """Where the trajectories come from."""
    codec: AutoencoderSettings = IdentityPatches()
    """Between frames and the states that the operator advances."""
    operator: OperatorSettings = SpectralFlux()
    """Our network: the change of the state over one frame."""
    baselines: dict[str, BaselineSettings] = {}
    """The networks that one would otherwise pick, trained on the same batches with the same budget."""
    corrector: CorrectorSettings | None = None
    """The generative model of what the operator gets wrong; null leaves it and its baseline out."""
    student: StudentSettings | None = None
    """The corrector in one or two network calls; null leaves it out."""
    dynamics: DynamicsSettings | None = None
    """A world model: frames drawn one after the other, given actions; null leaves it and its mean out."""
    search: SearchSettings | None = None
    """Several candidates a frame, the best by a reward that was checked; null leaves it and its controls out."""
    solver_cells: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 64, 128, 256, 512, 1024)
    """Grids of the classical solver, as cells along the first axis and others in proportion; the coarsest that is as
    accurate as the operator becomes a rung."""
    codec_training: Fit = Fit(updates=2000, unroll=((0.0, 1),))
    """How the codec is trained, if it has anything to train."""
    training: Fit = Fit(seconds=60.0)
    """How the operator and each baseline are trained."""
    losses: Losses = Losses()
    """What the operator is trained by beside the error of its forecast."""
    pace: dict[str, Positive] = {}
    """Updates of a baseline, by name, for each one that `training` counts: an update of one network is not the work of
    an update of another. 1 for those that are not named, and where the budget is in seconds."""
    corrector_training: Fit = Fit(seconds=120.0, unroll=((0.0, 1),))
    """How the corrector is trained."""
    student_training: Fit = Fit(seconds=120.0, unroll=((0.0, 1),))
    """How the student is trained."""
    dynamics_training: Fit = Fit(seconds=600.0, unroll=((0.0, 8), (0.5, 16)))
    """How the world model is trained; the steps of its unroll are the frames of a window."""
    num_members: Annotated[int, Field(ge=2)] = 16
    """Members of the ensembles that stochastic rungs forecast."""
    seed: NonNegativeInt = 0
    """Of initial weights, batches and noise; data have their own."""

    @property
    def rungs(self) -> tuple[RungSpec, ...]:
        """The ladder, each rung after those that it stands on."""
        rungs: list[RungSpec] = [PersistenceSpec()]
        operator = OperatorSpec(
            operator=self.operator,
            training=self.training,
            losses=self.losses,
            equation=self.source.equation_class,
            cells=self.source.cells,
        )
        if isinstance(
            self.operator, LawNetwork
        ):  # below the law, so that the operator is compared with the law
            alone = SpectralFlux(**self.operator.model_dump(exclude={"kind"}))
            rungs.append(replace(operator, name="network", operator=alone))
        if isinstance(self.operator, FluxLaw | LawNetwork):
            law = Law() if isinstance(self.operator, LawNetwork) else self.operator
            rungs.append(LawSpec(operator=law))
            operator = replace(operator, on=("law",))
        rungs.append(operator)
        rungs += map(self._baseline, self.baselines)
        if self.data.equation_class is not None:
            rungs.append(SolverSpec(equation=self.data.equation_class, cells=self.solver_cells))
        members = self.num_members
        if self.corrector:
            how = self.corrector_training
            rungs.append(CorrectorSpec(settings=self.corrector, training=how, num_members=members))
            rungs.append(ColoredNoiseSpec(num_members=members))
        if self.student:
            how = self.student_training
            rungs.append(StudentSpec(settings=self.student, training=how, num_members=members))
        if self.dynamics:
            rungs += world_specs(self.dynamics, self.dynamics_training, self.data, members)
        if self.search:
            rungs += search_specs(self.search, self.source, rungs)
            rungs += correction_specs(self.search, self.source)
        if isinstance(self.data, Simulated) and self.data.rest:
            rungs.append(ClimatologySpec(num_members=members))
        if isinstance(self.data, Simulated) and self.data.forcing:
            rungs.append(PerfectSpec(source=self.data, num_members=members))
        return tuple(rungs)

    @property
    def source(self) -> Source:
        """What the settings of the data say of their equation."""
        cells = self.data.solver_cells if isinstance(self.data, Simulated) else None
        return Source(self.data.equation_class, cells)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of these settings before the numbers."""
        if isinstance(self.operator, FluxLaw) and not isinstance(self.data, FileSource):
            return (
                "Truth and operator are one scheme (MUSCL, MC limiter, Hancock), so the operator does not have to make "
                "up for another scheme's errors: expect more on data of another solver.",
            )
        if isinstance(self.operator, Law | LawNetwork) and not isinstance(self.data, FileSource):
            return (
                "Truth and law are solved in one way (waves and an exponential integrator), so nothing is left for the "
                "network but round-off: expect more on data of another solver.",
            )
        return ()

    def training_of(self, name: str) -> Fit:
        """Return how a baseline is trained."""
        if self.training.updates is None or name not in self.pace:
            return self.training
        return self.training.model_copy(
            update={"updates": max(1, round(self.pace[name] * self.training.updates))}
        )

    @model_validator(mode="after")
    def _paces_are_of_baselines(self) -> Run:
        known = {*self.baselines, *(kind.model_fields["kind"].default for kind in BASELINES)}
        for name in self.pace:
            if name not in known:
                raise ValueError(f"pace of '{name}', which is no baseline{nearest(name, known)}")
        return self

    def _baseline(self, name: str) -> BaselineSpec:
        settings = self.baselines[name]
        drawn = isinstance(settings, StochasticOperator)
        training = self.training_of(name)
        training = training.model_copy(update={"unroll": settings.unroll}) if drawn else training
        return BaselineSpec(
            name=name, settings=settings, training=training, num_members=self.num_members if drawn else 1
        )

    @field_validator("baselines")
    @classmethod
    def _names_are_folders(cls, baselines: dict[str, BaselineSettings]) -> dict[str, BaselineSettings]:
        for name in baselines:
            if name in NAMES or not name.isidentifier():
                raise ValueError(
                    f"'{name}' cannot name a baseline: use letters, digits and _, and none of {sorted(NAMES)}"
                )
        return baselines

    @model_validator(mode="after")
    def _a_search_has_candidates(self) -> Run:
        if self.search:
            drawing = ["corrector", "colored_noise"] if self.corrector else []
            drawing += ["student"] if self.student else []
            drawing += [n for n, kind in self.baselines.items() if isinstance(kind, StochasticOperator)]
            candidates_from(self.search, drawing)
        return self

    @model_validator(mode="after")
    def _a_world_is_trained_on_what_it_sees(self) -> Run:
        if self.dynamics:
            longest = max(frames for _, frames in self.dynamics_training.unroll)
            if longest < self.dynamics.context:
                raise ValueError(
                    f"dynamics.context={self.dynamics.context} is longer than the windows it is trained on, {longest} "
                    "frames: lower it, or raise dynamics_training.unroll"
                )
            if self.dynamics_training.symmetries:
                raise ValueError(
                    "dynamics_training.symmetries: actuators have places, which a symmetry would move"
                )
        return self

    @model_validator(mode="after")
    def _a_student_has_a_teacher(self) -> Run:
        if self.student and not self.corrector:
            raise ValueError("student: there is no corrector to teach it; set corrector, or student=null")
        return self
