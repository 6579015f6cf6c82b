"""The student: the corrector's many hops in one or two calls of a network."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from pydantic import PositiveInt
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.config import Settings
from ups.diffusion.denoiser import Denoiser
from ups.diffusion.flow_maps import Jump, sample
from ups.models.corrector import (
    Corrected,
    CorrectedManifest,
    Corrector,
    CorrectorSettings,
    Given,
    Tokens,
    pure_noise,
    shifted_grid,
)
from ups.models.emulator import EmulatorManifest
from ups.models.initialization import initialize
from ups.models.noise import build_parameterization
from ups.models.residual_nets import LEVEL_DIM, ResidualNet


class Student(nn.Module):
    """A learned flow map between any two noise levels, started from the weights of its teacher.

    It draws the same residuals as the corrector, correction included, by `num_steps` jumps down the same process;
    so it needs the same noise and the same standard deviation. Untrained it is the teacher's `ddim` with so many hops.
    """

    std: Tensor

    def __init__(self, settings: StudentSettings, teacher: Corrector) -> None:
        super().__init__()
        self.settings, self.taught = settings, teacher.settings
        dim = teacher.spectrum.power.shape[-1]
        known = cast(ResidualNet, teacher.denoiser.network)
        body = teacher.settings.network.build(teacher.spectrum.grid, 3 * dim, dim)
        network = ResidualNet(body, known.embed.in_features - LEVEL_DIM, num_levels=2)
        network.inherit(known)
        parameterization = build_parameterization(teacher.settings.predicts, 1.0)
        self.jump = Jump(Denoiser(network, teacher.denoiser.process, parameterization))
        self.register_buffer("std", teacher.spectrum.std.clone())

    def draw(self, given: Given, generator: Generator) -> Tokens:
        """Return one residual for each row, by `num_steps` calls of the network."""
        process = self.jump.process
        noise = pure_noise(process, given[0][..., : len(self.std)], generator)
        grid = shifted_grid(process, self.settings.num_steps, self.taught.shift)
        return sample(self.jump.given(*given), noise, grid) * self.std

    @property
    def calls_per_frame(self) -> int:
        """How often a draw calls the network."""
        return self.settings.num_steps

    def manifest(self, emulator: EmulatorManifest) -> StudentManifest:
        """Return from what the student, its teacher and the emulator underneath were built."""
        return StudentManifest(emulator=emulator, teacher=self.taught, student=self.settings)


class StudentSettings(Settings):
    """How the corrector is distilled."""

    method: Literal["trajectory", "consistency", "shortcut"] = "trajectory"
    """What a jump is trained towards: where the teacher's hops from the same noise lead (trajectory); the student's own
    jump from the teacher's next point (consistency); two of its own half jumps (shortcut)."""
    num_steps: PositiveInt = 1
    """Jumps, and network calls, for each frame."""
    teacher_steps: PositiveInt = 16
    """Hops of the teacher; `shortcut`, which halves its jumps, takes the power of two at or below."""

    def build(self, corrected: Corrected) -> Corrected:
        """Return the untrained student in the place of the corrector of a corrected emulator."""
        generator = torch.Generator()  # its numbers are replaced by the teacher's
        return Corrected(
            corrected.emulator, initialize(lambda: Student(self, corrected.correction), generator)
        )


class StudentManifest(Manifest):
    """From what a student was built."""

    kind: Literal["student"] = "student"
    emulator: EmulatorManifest
    """The emulator underneath."""
    teacher: CorrectorSettings
    """The corrector that taught it."""
    student: StudentSettings
    """The student."""

    free: ClassVar[tuple[str, ...]] = ("student.num_steps",)

    def build(self) -> Corrected:
        """Return the emulator with the student, its numbers still to be restored."""
        return self.student.build(CorrectedManifest(emulator=self.emulator, correction=self.teacher).build())
